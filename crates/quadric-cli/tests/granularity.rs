//! `quadric curvature --shapes --diagonal`: documents and files against the library and dense matrices.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

mod support;

use quadric::core::{Matrix, Model};
use quadric::curvature::{Absence, Shape, ShapeOptions, shapes};
use quadric::data::{Limits, read_npy};
use quadric::linalg::LinearOperator;
use quadric::linalg::dense::symmetric_eigen;
use quadric::nn::{Loss, Network, Supervised, onnx};
use serde_json::{Value, json};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use support::Quadric;
use support::networks::{data, fixture, near, number, resumed};

const COMMON: [&str; 6] = ["--data", "x.npy", "--labels", "y.npy", "--dtype", "f64"];

/// What the document says of the shapes of a matrix, and the library.
fn compare(problem: &dyn Model<f64>, x: &[f64], matrix: Matrix, found: &Value) {
    let options = ShapeOptions {
        rank: 5,
        ..ShapeOptions::new(number(&found["damping"]))
    };
    let go_on = |_: usize| ControlFlow::Continue(());
    let own = shapes(problem, x, matrix, &Shape::ALL, &options, &go_on).unwrap();
    let all = found["shapes"].as_array().unwrap();
    assert_eq!(all.len(), Shape::ALL.len());
    assert_eq!(number(&found["solution"]["residual"]), 0.0);
    for (found, own) in all.iter().zip(&own.reports) {
        assert_eq!(found["shape"], own.shape.name());
        let n = match &own.found {
            Err(Absence::Undefined(why)) => {
                assert_eq!(found["absent"], json!(why));
                continue;
            }
            other => other.as_ref().unwrap(),
        };
        assert_eq!(found["numbers"].as_u64(), Some(n.numbers));
        near(number(&found["gradients"]), n.gradients, n.gradients);
        near(number(&found["trace"]), n.trace, n.trace);
        near(number(&found["largest"]), n.largest, n.largest);
        assert_eq!(found["log_det"].is_null(), n.log_det.is_none());
        let error = n.error.unwrap();
        near(number(&found["error"]["value"]), error.value, 1.0);
        assert_eq!(number(&found["error"]["level"]), 1.0);
        near(number(&found["cosine"]), n.cosine.unwrap(), 1.0);
        let without = found["without"].as_array();
        assert_eq!(without.map_or(0, Vec::len), n.without.len());
    }
}

/// A diagonal in the document and in its file, and the condition, against the dense matrix.
fn dense(problem: &dyn Model<f64>, x: &[f64], matrix: Matrix, found: &Value, file: &Path) {
    let d = x.len();
    let mut whole = faer::Mat::<f64>::zeros(d, d);
    problem
        .matrix(x, matrix)
        .unwrap()
        .dense(whole.as_mut())
        .unwrap();
    let entries = read_npy(file, &Limits::default()).unwrap();
    assert_eq!(entries.shape, [d, 2]);
    let scale = (0..d).map(|i| whole[(i, i)].abs()).fold(0.0, f64::max);
    for i in 0..d {
        near(entries.values[2 * i], whole[(i, i)], scale);
        assert_eq!(entries.values[2 * i + 1], 0.0);
    }
    let diagonal = &found["diagonal"];
    assert_eq!(
        (&diagonal["exact"], &diagonal["level"]),
        (&json!(true), &json!(1.0))
    );
    let mut first = 0;
    for layer in diagonal["layers"].as_array().unwrap() {
        let n = layer["parameters"].as_u64().unwrap() as usize;
        let mut own: Vec<f64> = (first..first + n).map(|i| whole[(i, i)]).collect();
        own.sort_by(f64::total_cmp);
        let at = |share: f64| own[((share * n as f64).ceil() as usize).max(1) - 1];
        for (key, share) in [
            ("min", 0.0),
            ("q05", 0.05),
            ("median", 0.5),
            ("q95", 0.95),
            ("max", 1.0),
        ] {
            near(number(&layer[key]), at(share), scale);
        }
        first += n;
    }
    assert_eq!(first, d);
    let damping = number(&found["damping"]);
    let values = symmetric_eigen(whole.as_ref()).unwrap().values;
    let sizes: Vec<f64> = values.iter().map(|v| (v + damping).abs()).collect();
    let (least, most) = sizes
        .iter()
        .fold((f64::INFINITY, 0.0_f64), |(a, b), v| (a.min(*v), b.max(*v)));
    let condition = &found["damped_condition"];
    assert_eq!(condition["known"], "exact");
    assert!((number(&condition["value"]) - most / least).abs() <= 1e-7 * most / least);
}

#[test]
fn imported_networks_against_the_library() {
    for name in ["residual", "transformer", "lstm"] {
        let q = Quadric::new();
        let network = onnx::read(fixture(name), &onnx::Options::default()).unwrap();
        let examples = data(&q, &network, 12);
        let path = fixture(name);
        let arguments = [
            &["curvature", path.to_str().unwrap()],
            &COMMON[..],
            &[
                "--matrix",
                "hessian,ggn,sampled-fisher,empirical-fisher,covariance",
                "--draws",
                "2",
            ],
            &[
                "--shapes",
                "all",
                "--rank",
                "5",
                "--save-diagonal",
                "d.npy",
                "-o",
                "page.html",
            ],
        ]
        .concat();
        let (code, found) = q.json(&arguments);
        assert_eq!(code, 0, "{name}: {found:#}");
        let page = fs::read_to_string(q.path().join("page.html")).unwrap();
        assert!(page.contains("Shapes: Hessian") && page.contains("Diagonal: Gauss-Newton"));
        let x: Vec<f64> = network.initial(0);
        let problem = Supervised::new(network, Loss::CROSS_ENTROPY, examples).unwrap();
        for (key, file, matrix) in [
            ("hessian", "d.hessian.npy", Matrix::Hessian),
            ("ggn", "d.ggn.npy", Matrix::GaussNewton),
            (
                "sampled_fisher",
                "d.sampled-fisher.npy",
                Matrix::SampledFisher { draws: 2, seed: 0 },
            ),
            (
                "empirical_fisher",
                "d.empirical-fisher.npy",
                Matrix::EmpiricalFisher,
            ),
            ("covariance", "d.covariance.npy", Matrix::Covariance),
        ] {
            compare(&problem, &x, matrix, &found[key]);
            dense(&problem, &x, matrix, &found[key], &q.path().join(file));
        }
        // Nobody's file is replaced.
        let (code, document) = q.json(&arguments);
        let message = document["error"]["message"].as_str().unwrap();
        assert!(code == 2 && message.contains("d.hessian.npy"), "{message}");
    }
}

/// A linear model with a penalty, whose Gauss-Newton matrix is no Fisher matrix, and one without.
#[test]
fn linear_models() {
    for (l2, absent) in [("0.1", true), ("0", false)] {
        let q = Quadric::new();
        let arguments = [
            "curvature",
            "glm",
            "--data",
            "iris",
            "--loss",
            "softmax",
            "--l2",
            l2,
        ];
        let asked = [
            "--matrix",
            "hessian,ggn,fisher",
            "--shapes",
            "kronecker,diagonal",
            "--diagonal",
        ];
        let (code, found) = q.json(&[&arguments[..], &asked].concat());
        assert_eq!(code, 0, "{found:#}");
        let of = |key: &str| &found[key]["shapes"][0];
        assert_eq!(of("ggn")["absent"].is_string(), absent, "{found:#}");
        assert!(of("hessian")["absent"].is_string() && of("fisher")["absent"].is_null());
        assert_eq!(found["hessian"]["shapes"].as_array().unwrap().len(), 2);
        for key in ["hessian", "ggn", "fisher"] {
            let layers = found[key]["diagonal"]["layers"].as_array().unwrap();
            assert_eq!(layers[0]["name"], "coefficients");
            let diagonal = &found[key]["shapes"][1];
            near(
                number(&diagonal["trace"]),
                number(&found[key]["trace"]["value"]),
                1.0,
            );
        }
    }
}

fn large(q: &Quadric) -> Network {
    let export = [
        "model",
        "export",
        "mlp",
        "--sizes",
        "40,60,10",
        "--activation",
        "tanh",
        "-o",
        "net.onnx",
    ];
    assert_eq!(q.json(&export).0, 0);
    let network = onnx::read(q.path().join("net.onnx"), &onnx::Options::default()).unwrap();
    assert!(network.layout().len() > 2500);
    data(q, &network, 100);
    network
}

/// Errors of shapes that are estimated, and shapes that are left out.
fn estimated(expected: &Value) {
    for (key, left_out) in [("hessian", 3), ("ggn", 2)] {
        let all = expected[key]["shapes"].as_array().unwrap();
        assert_eq!(
            all.iter().filter(|s| s["absent"].is_string()).count(),
            left_out,
            "{all:#?}"
        );
        let there = all.iter().filter(|s| s["absent"].is_null());
        for shape in there {
            let [value, low, high] = ["value", "low", "high"].map(|k| number(&shape["error"][k]));
            assert!(
                low < value && value < high && shape["error"]["level"] == 0.95,
                "{shape:#}"
            );
        }
    }
    assert_eq!(expected["hessian"]["diagonal"]["exact"], false);
    assert_eq!(expected["ggn"]["diagonal"]["exact"], true);
    assert_eq!(expected["ggn"]["damped_condition"]["known"], "bound");
}

/// What is too large to be written down, interrupted again and again, and resumed.
#[test]
fn an_interrupted_comparison_goes_on() {
    let q = Quadric::new();
    large(&q);
    let rest = [
        "--matrix",
        "hessian,ggn",
        "--density",
        "0",
        "--trace",
        "0",
        "--radius",
        "0",
    ];
    let asked = [
        "--shapes",
        "kronecker,diagonal,low-rank,full,layers",
        "--save-diagonal",
        "d.npy",
    ];
    let arguments = [
        &["curvature", "net.onnx"],
        &COMMON[..4],
        &rest[..],
        &asked[..],
    ]
    .concat();
    let (code, mut expected) = q.json(&[&arguments[..], &["--force"]].concat());
    assert_eq!(code, 0, "{expected:#}");
    let files = ["d.hessian.npy", "d.ggn.npy"].map(|f| q.path().join(f));
    let before = files.each_ref().map(|f| fs::read(f).unwrap());
    files.iter().for_each(|f| fs::remove_file(f).unwrap());
    estimated(&expected);
    let saving = [
        &arguments[..],
        &[
            "--checkpoint",
            "a.ckpt",
            "--checkpoint-every",
            "0",
            "--json",
        ],
    ]
    .concat();
    let mut found = resumed(&q, &saving);
    for document in [&mut expected, &mut found] {
        document.as_object_mut().unwrap().remove("seconds");
    }
    assert_eq!(found, expected);
    assert_eq!(files.map(|f| fs::read(f).unwrap()), before);
}

#[test]
fn wrong_granularities_are_refused() {
    let q = Quadric::new();
    let network = onnx::read(fixture("mlp"), &onnx::Options::default()).unwrap();
    data(&q, &network, 6);
    fs::write(q.path().join("there.npy"), "mine").unwrap();
    let path = fixture("mlp");
    for (change, part) in [
        (&["--shapes", "cubes"][..], "cubes"),
        (&["--shapes", "full", "--rank", "0"], "rank"),
        (&["--shapes", "full", "--shape-probes", "1"], "shape-probes"),
        (
            &["--shapes", "full", "--shape-products", "0"],
            "shape-products",
        ),
        (
            &["--diagonal", "--diagonal-products", "3"],
            "diagonal-products",
        ),
        (&["--shapes", "full", "--top", "0"], "damping"),
        (&["--damping=-1"], "damping"),
        (
            &["--matrix", "ggn", "--save-diagonal", "there.npy"],
            "there.npy",
        ),
    ] {
        let arguments = [&["curvature", path.to_str().unwrap()], &COMMON[..4], change].concat();
        let (code, document) = q.json(&arguments);
        let message = document["error"]["message"].as_str().unwrap();
        assert!(code == 2 && message.contains(part), "{code}: {message}");
    }
    assert_eq!(fs::read(q.path().join("there.npy")).unwrap(), b"mine");
}

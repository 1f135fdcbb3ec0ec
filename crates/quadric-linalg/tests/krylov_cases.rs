//! The recorded cases of `testdata/cases/lstsq` for iterative solvers.
#![allow(missing_docs, clippy::unwrap_used)]

mod krylov_support;

use faer::Mat;
use krylov_support::*;
use quadric_linalg::algebra::Dense;
use quadric_linalg::krylov::{
    CgOptions, CgStop, CgWorkspace, LeastSquaresOptions, LeastSquaresStop, LeastSquaresWorkspace,
    MinresOptions, MinresStop, MinresWorkspace, cg, minres_qlp,
};

fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/cases/lstsq")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(folder().join(file)).unwrap()
}

/// All columns of a CSV file but the last as a matrix, and the last.
fn read_csv(file: &str) -> (Mat<f64>, Vec<f64>) {
    let text = read(file);
    let rows: Vec<Vec<f64>> = text
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(|v| v.parse().unwrap()).collect())
        .collect();
    let d = rows[0].len() - 1;
    (
        Mat::from_fn(rows.len(), d, |i, j| rows[i][j]),
        rows.iter().map(|r| r[d]).collect(),
    )
}

fn case(id: &str) -> toml::Table {
    let file: toml::Table = read("cases.toml").parse().unwrap();
    let cases = file["case"].as_array().unwrap();
    let found = cases.iter().find(|c| c["id"].as_str() == Some(id));
    found
        .unwrap_or_else(|| panic!("no case {id}"))
        .as_table()
        .unwrap()
        .clone()
}

fn number(v: &toml::Value) -> f64 {
    v.as_float().or(v.as_integer().map(|i| i as f64)).unwrap()
}

fn numbers(v: &toml::Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(number).collect()
}

fn assert_close(x: &[f64], expected: &[f64], tolerance: f64) {
    let worst = minus(x, expected)
        .iter()
        .fold(0.0, |m: f64, v| m.max(v.abs()));
    assert!(worst <= tolerance, "{x:?} is not {expected:?}");
}

#[test]
fn ls_lsqr_stops_with_large_residual() {
    let case = case("ls-lsqr-stops-with-large-residual");
    let (a, b) = read_csv("graded_min.csv");
    for (name, solver) in solvers::<f64>() {
        let options = LeastSquaresOptions {
            relative: 1e-12,
            normal: 0.0,
            ..LeastSquaresOptions::default()
        };
        let mut x = vec![0.0; b.len()];
        let report = solver(
            &Dense::new(a.clone()),
            0.0,
            &b,
            &mut x,
            &options,
            &mut LeastSquaresWorkspace::new(),
        )
        .unwrap();
        let measured = norm(&minus(&b, &times(&a, &x)));
        println!(
            "{name}: {:?} after {}, residual {measured:e}",
            report.stop, report.iterations
        );
        if report.stop.converged() {
            assert!(measured <= number(&case["tolerance"]["relative_residual"]) * 1.1 * norm(&b));
        } else {
            assert!((measured / report.residual_norm - 1.0).abs() < 1e-3);
        }
    }
}

#[test]
fn ls_damped_warm_start() {
    let case = case("ls-damped-warm-start");
    let (a, b) = read_csv("damped.csv");
    let x0: Vec<f64> = read("damped_x0.csv")
        .lines()
        .skip(1)
        .map(|v| v.parse().unwrap())
        .collect();
    let (expect, tolerance) = (&case["expect"], &case["tolerance"]);
    for (_, solver) in solvers::<f64>() {
        for warm_start in [false, true] {
            let options = LeastSquaresOptions {
                normal: 1e-14,
                warm_start,
                ..LeastSquaresOptions::default()
            };
            let mut x = x0.clone();
            let report = solver(
                &Dense::new(a.clone()),
                5.0,
                &b,
                &mut x,
                &options,
                &mut LeastSquaresWorkspace::new(),
            )
            .unwrap();
            assert_eq!(report.stop, LeastSquaresStop::Normal);
            assert_close(&x, &numbers(&expect["x"]), number(&tolerance["x_abs"]));
            for (found, key) in [
                (report.residual_norm, "residual_norm"),
                (report.damped_norm, "damped_norm"),
            ] {
                assert!(
                    (found / number(&expect[key]) - 1.0).abs() <= number(&tolerance["norms_rel"]),
                    "{key}"
                );
            }
        }
    }
}

#[test]
fn ls_cg_degenerate_starts() {
    let case = case("ls-cg-degenerate-starts");
    let json: serde_json::Value = serde_json::from_str(&read("cg_starts.json")).unwrap();
    let list = |v: &serde_json::Value| -> Vec<f64> {
        v.as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_f64().unwrap())
            .collect()
    };
    let a: Vec<Vec<f64>> = json["A"].as_array().unwrap().iter().map(list).collect();
    let op = Dense::psd(Mat::from_fn(3, 3, |i, j| a[i][j])).unwrap();
    let limits = numbers(&case["expect"]["iterations_max"]);
    let tolerance = number(&case["tolerance"]["x_abs"]);
    for (i, run) in json["runs"].as_array().unwrap().iter().enumerate() {
        let (b, x0) = (list(&run["b"]), list(&run["x0"]));
        let expected = numbers(&case["expect"]["x"].as_array().unwrap()[i]);
        let mut x = x0.clone();
        let options = CgOptions {
            warm_start: true,
            ..CgOptions::default()
        };
        let report = cg(
            &op,
            0.0,
            None,
            &b,
            &mut x,
            &options,
            &mut CgWorkspace::new(),
        )
        .unwrap();
        assert_eq!(report.stop, CgStop::Tolerance, "cg, row {i}");
        assert!(report.iterations as f64 <= limits[i] && report.residual.is_finite());
        assert_close(&x, &expected, tolerance);
        for (name, solver) in solvers::<f64>() {
            let mut x = x0.clone();
            let options = LeastSquaresOptions {
                warm_start: true,
                ..LeastSquaresOptions::default()
            };
            let report = solver(
                &op,
                0.0,
                &b,
                &mut x,
                &options,
                &mut LeastSquaresWorkspace::new(),
            )
            .unwrap();
            assert!(
                report.stop.converged(),
                "{name}, row {i}: {:?}",
                report.stop
            );
            assert!(report.iterations as f64 <= limits[i] && report.residual_norm.is_finite());
            assert_close(&x, &expected, tolerance);
        }
        let mut x = x0.clone();
        let options = MinresOptions {
            warm_start: true,
            ..MinresOptions::default()
        };
        let report =
            minres_qlp(&op, 0.0, &b, &mut x, &options, &mut MinresWorkspace::new()).unwrap();
        assert_eq!(report.stop, MinresStop::Residual, "minres, row {i}");
        assert!(report.iterations as f64 <= limits[i]);
        assert_close(&x, &expected, tolerance);
    }
}

#[test]
fn ls_cg_finishes_in_n_steps() {
    let case = case("ls-cg-finishes-in-n-steps");
    let (a, b) = read_csv("cg_four_eigenvalues.csv");
    let op = Dense::psd(a.clone()).unwrap();
    let (expect, tolerance) = (&case["expect"], &case["tolerance"]);
    let mut x = vec![0.0; 4];
    let options = CgOptions {
        relative: 1e-10,
        ..CgOptions::default()
    };
    let report = cg(
        &op,
        0.0,
        None,
        &b,
        &mut x,
        &options,
        &mut CgWorkspace::new(),
    )
    .unwrap();
    assert_eq!(report.stop, CgStop::Tolerance);
    assert!(report.iterations as f64 <= number(&expect["iterations_max"]));
    assert_close(&x, &numbers(&expect["x"]), number(&tolerance["x_abs"]));
    let options = CgOptions {
        relative: 0.0,
        max_iterations: 4,
        ..options
    };
    cg(
        &op,
        0.0,
        None,
        &b,
        &mut x,
        &options,
        &mut CgWorkspace::new(),
    )
    .unwrap();
    let relative = norm(&minus(&b, &times(&a, &x))) / norm(&b);
    assert!(
        relative <= number(&expect["relative_residual_after_4"]),
        "{relative:e}"
    );
}

//! Real failures of other tools, with their right answers (`testdata/cases/*/cases.toml`), run through the command.

mod support;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value as Json;
use std::path::PathBuf;
use support::{Quadric, close, close_all, floats};
use toml::{Table, Value};

/// One case: its table, and the folder of its files.
#[derive(Clone)]
struct Case {
    table: Table,
    folder: PathBuf,
}

fn main() {
    let arguments = Arguments::from_args();
    let folder = support::root().join("testdata/cases/glm");
    let text = std::fs::read_to_string(folder.join("cases.toml"))
        .expect("the cases are in the repository");
    let file: Table = text.parse().expect("the cases are TOML");
    let trials = file["case"]
        .as_array()
        .expect("a list of cases")
        .iter()
        .filter_map(|case| {
            let case = Case {
                table: case.as_table().expect("a case is a table").clone(),
                folder: folder.clone(),
            };
            // Group sparsity is another method's job.
            (case.text("part") == "fit")
                .then(|| Trial::test(case.text("id").to_owned(), move || run(&case)))
        });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn run(case: &Case) -> Result<(), Failed> {
    match case.text("id") {
        "glm-weights-are-repeats" => weights_are_repeats(case),
        "glm-huber-exact-line-at-1e12" => exact_line(case),
        "glm-intercept-free-at-huge-l2" => {
            case.simple(&["imbalanced.csv", "--loss", "logistic", "--l2", "1e6"])
        }
        "glm-constant-column-next-to-intercept" => {
            case.simple(&["constant_column.csv", "--loss", "logistic", "--l2", "0.05"])
        }
        "glm-label-order-not-encounter-order" => label_order(case),
        "glm-sparse-equals-dense-weighted-ridge" => {
            let sparse = [
                "ridge.svm",
                "--loss",
                "squared",
                "--sample-weight",
                "ridge_weights.csv",
                "--l2",
                "0.2",
            ];
            case.simple(&sparse)?;
            case.simple(&[
                "ridge.csv",
                "--loss",
                "squared",
                "--sample-weight",
                "s",
                "--l2",
                "0.2",
            ])
        }
        "glm-quasi-separation" => no_minimiser(
            case,
            &["quasi_separated.csv", "--loss", "logistic"],
            "l2_1e6",
            "1e-6",
        ),
        "glm-poisson-all-zero-group" => no_minimiser(
            case,
            &["zero_group.csv", "--loss", "poisson"],
            "l2_1e8",
            "1e-8",
        ),
        "glm-raw-column-scales" => {
            case.simple(&["raw_scales.csv", "--loss", "logistic", "--l2", "1e-10"])
        }
        "glm-zero-weight-rows-do-nothing" => {
            for file in ["zero_weight_rows.csv", "without_rows.csv"] {
                case.simple(&[
                    file,
                    "--loss",
                    "logistic",
                    "--sample-weight",
                    "s",
                    "--l2",
                    "0.01",
                ])?;
            }
            Ok(())
        }
        "glm-softmax-gaps-in-labels" => label_gaps(case),
        "glm-no-features" => no_features(case),
        "glm-duplicate-columns" => duplicate_columns(case),
        "glm-poisson-first-step-overflows" => case.simple(&[
            "exposure.csv",
            "--loss",
            "poisson",
            "--target",
            "claims",
            "--l2",
            "0",
        ]),
        id => Err(format!("no runner for the case {id}").into()),
    }
}

impl Case {
    fn text(&self, key: &str) -> &str {
        self.table[key].as_str().expect("a text")
    }

    fn expect(&self) -> &Table {
        self.table["expect"]
            .as_table()
            .expect("a table of expectations")
    }

    fn part(&self, name: &str) -> &Table {
        self.expect()[name]
            .as_table()
            .expect("a table of expectations")
    }

    fn tolerance(&self, key: &str) -> Option<f64> {
        self.table.get("tolerance")?.get(key)?.as_float()
    }

    fn quadric(&self) -> Quadric {
        Quadric::with_files(&self.folder)
    }

    /// One fit that must meet `expect`.
    fn simple(&self, arguments: &[&str]) -> Result<(), Failed> {
        let fit = self.quadric().fit(arguments)?;
        self.check(&fit.json, self.expect())
    }

    /// Compares a fit with a table of expectations, at the tolerances of the case.
    fn check(&self, fit: &Json, expect: &Table) -> Result<(), Failed> {
        let statuses = expect.get("status").or(self.expect().get("status"));
        if let Some(allowed) = statuses.and_then(Value::as_array) {
            let status = fit["status"].as_str().unwrap_or_default();
            if !allowed.iter().any(|a| a.as_str() == Some(status)) {
                return Err(format!("status is {status}: {}", fit["reason"]).into());
            }
        }
        let compare = |key: &str, name: &str, got: &[f64], want: &[f64]| {
            let absolute = self.tolerance(&format!("{key}_abs")).unwrap_or(0.0);
            let relative = self.tolerance(&format!("{key}_rel")).unwrap_or(0.0);
            close_all(name, got, want, absolute, relative)
        };
        if let Some(want) = expect.get("coef") {
            compare("coef", "coef", &floats(&fit["coef"]), &toml_floats(want))?;
        }
        if let Some(want) = expect.get("intercept") {
            let (mut got, mut want) = (floats(&fit["intercept"]), toml_floats(want));
            if want.len() > 1 {
                centre(&mut got);
                centre(&mut want);
            }
            compare("intercept", "intercept", &got, &want)?;
        }
        if let Some(want) = expect.get("objective") {
            compare(
                "objective",
                "objective",
                &floats(&fit["objective"]),
                &toml_floats(want),
            )?;
        }
        if let Some(want) = expect.get("classes").and_then(Value::as_array) {
            let want: Vec<i64> = want.iter().filter_map(Value::as_integer).collect();
            let got: Vec<i64> = fit["classes"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Json::as_i64)
                .collect();
            if got != want {
                return Err(format!("classes are {got:?}, not {want:?}").into());
            }
        }
        Ok(())
    }
}

/// The gauge of softmax intercepts is free: their mean is taken out.
fn centre(v: &mut [f64]) {
    let mean = v.iter().sum::<f64>() / v.len() as f64;
    v.iter_mut().for_each(|v| *v -= mean);
}

/// All numbers of a TOML value, nested lists flattened.
fn toml_floats(v: &Value) -> Vec<f64> {
    match v {
        Value::Float(f) => vec![*f],
        Value::Integer(i) => vec![*i as f64],
        Value::Array(a) => a.iter().flat_map(toml_floats).collect(),
        _ => Vec::new(),
    }
}

fn weights_are_repeats(case: &Case) -> Result<(), Failed> {
    let weighted = [
        "weighted_poisson.csv",
        "--loss",
        "poisson",
        "--sample-weight",
        "s",
    ];
    let repeated = ["repeated_poisson.csv", "--loss", "poisson"];
    case.check(
        &case
            .quadric()
            .fit(&[&weighted[..], &["--l2", "0"]].concat())?
            .json,
        case.part("weighted"),
    )?;
    // Nobody asked for a penalty, so there is none.
    case.check(&case.quadric().fit(&weighted)?.json, case.part("weighted"))?;
    case.check(
        &case
            .quadric()
            .fit(&[&repeated[..], &["--l2", "0"]].concat())?
            .json,
        case.part("repeated"),
    )?;
    case.check(
        &case
            .quadric()
            .fit(&[&weighted[..], &["--l2", "0.1"]].concat())?
            .json,
        case.part("weighted_l2"),
    )
}

fn exact_line(case: &Case) -> Result<(), Failed> {
    let times: Vec<f64> = support::column(&case.folder.join("timestamp_line.csv"), 0);
    let values: Vec<f64> = support::column(&case.folder.join("timestamp_line.csv"), 1);
    for loss in ["huber", "squared"] {
        let quadric = case.quadric();
        let fit = quadric.fit(&["timestamp_line.csv", "--loss", loss, "--l2", "0"])?;
        case.check(&fit.json, case.expect())?;
        let predicted = floats(&quadric.predict(&fit, "timestamp_line.csv")?["predictions"]);
        close_all("predictions", &predicted, &values, 1e-3, 0.0)?;
        assert_eq!(predicted.len(), times.len());
    }
    Ok(())
}

fn label_order(case: &Case) -> Result<(), Failed> {
    for file in ["labels_5_first.csv", "labels_2_first.csv"] {
        let quadric = case.quadric();
        let fit = quadric.fit(&[file, "--loss", "logistic", "--l2", "0.1"])?;
        case.check(&fit.json, case.expect())?;
        let document = quadric.predict(&fit, "labels_5_first.csv")?;
        let want = case.expect()["probability_of_5_first_row_of_5_first"]
            .as_float()
            .expect("a number");
        close(
            "probability of 5",
            document["probabilities"][0][1].as_f64().unwrap_or(f64::NAN),
            want,
            1e-8,
            0.0,
        )?;
    }
    Ok(())
}

/// At l2 = 0 there is no minimiser, with a little penalty there is.
fn no_minimiser(case: &Case, arguments: &[&str], part: &str, l2: &str) -> Result<(), Failed> {
    let fit = case.quadric().fit(&[arguments, &["--l2", "0"]].concat())?;
    let expect = case.part("l2_zero");
    let status = fit.json["status"].as_str().unwrap_or_default();
    if status != "unbounded" || fit.code != 4 {
        return Err(format!("status {status}, exit {}", fit.code).into());
    }
    let infimum = expect["infimum_not_attained"].as_float().expect("a number");
    close(
        "objective near the infimum",
        fit.json["objective"].as_f64().unwrap_or(f64::NAN),
        infimum,
        0.0,
        1e-3,
    )?;
    if fit.json["reason"].as_str().is_none_or(str::is_empty) {
        return Err("no reason is given".into());
    }
    case.check(
        &case
            .quadric()
            .fit(&[arguments, &["--l2", l2]].concat())?
            .json,
        case.part(part),
    )
}

fn label_gaps(case: &Case) -> Result<(), Failed> {
    let quadric = case.quadric();
    let fit = quadric.fit(&["softmax_labels.csv", "--loss", "softmax", "--l2", "0.001"])?;
    case.check(&fit.json, case.expect())?;
    let document = quadric.predict(&fit, "softmax_labels.csv")?;
    close_all(
        "predictions",
        &floats(&document["predictions"]),
        &toml_floats(&case.expect()["predictions"]),
        0.0,
        0.0,
    )?;
    let want = toml_floats(&case.expect()["first_row_probabilities"]);
    close_all(
        "probabilities",
        &floats(&document["probabilities"][0]),
        &want,
        1e-7,
        0.0,
    )
}

fn no_features(case: &Case) -> Result<(), Failed> {
    let counts = case.quadric().fit(&[
        "no_features_counts.csv",
        "--loss",
        "poisson",
        "--l2",
        "1e-3",
    ])?;
    case.check(&counts.json, case.part("poisson"))?;
    let labels = case
        .quadric()
        .fit(&["labels_only.svm", "--loss", "logistic", "--l2", "1e-3"])?;
    case.check(&labels.json, case.part("logistic"))
}

fn duplicate_columns(case: &Case) -> Result<(), Failed> {
    let arguments = ["duplicate_columns.csv", "--loss", "logistic"];
    let fit = case
        .quadric()
        .fit(&[&arguments[..], &["--l2", "1e-8"]].concat())?;
    case.check(&fit.json, case.part("l2_1e8"))?;
    let coef = floats(&fit.json["coef"]);
    close("equal pair", coef[0], coef[2], 1e-6, 0.0)?;
    let fit = case
        .quadric()
        .fit(&[&arguments[..], &["--l2", "0"]].concat())?;
    let expect = case.part("l2_zero");
    case.check(&fit.json, expect)?;
    let coef = floats(&fit.json["coef"]);
    let number = |key: &str| expect[key].as_float().expect("a number");
    close(
        "sum of the pair",
        coef[0] + coef[2],
        number("sum_coef_0_and_2"),
        1e-6,
        0.0,
    )?;
    close(
        "the other coefficient",
        coef[1],
        number("coef_1"),
        1e-6,
        0.0,
    )
}

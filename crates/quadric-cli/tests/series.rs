//! Commands that make several fits: classes against the rest, cross-validation, their limits and their checkpoints.

mod support;

use quadric::data::embedded;
use quadric::opt::registry;
use quadric::prelude::*;
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use support::{Quadric, close, floats};

/// Each class is the logistic model of the class against all others that the library fits from labels made by hand.
#[test]
fn one_vs_rest_is_one_logistic_model_per_class() {
    let q = Quadric::new();
    let ask = [
        "wine_recognition",
        "--loss",
        "one-vs-rest",
        "--l2",
        "1e-2",
        "--force",
    ];
    let newton = q.fit(&ask).unwrap();
    assert_eq!(
        (newton.code, &newton.json["method"]),
        (0, &Value::from("newton"))
    );
    let together = q
        .fit(&[&ask[..], &["--method", "batched-l-bfgs"]].concat())
        .unwrap();
    assert_eq!(together.code, 0, "{:#}", together.json);
    let data = embedded("wine_recognition").unwrap();
    let options = GlmOptions {
        l2: 1e-2,
        ..GlmOptions::default()
    };
    let mut sum = 0.0;
    for class in 0..3 {
        let target: Vec<f64> = data
            .target
            .iter()
            .map(|y| f64::from(*y == newton.json["classes"][class].as_f64().unwrap()))
            .collect();
        let glm = Glm::<f64>::new(data.x.clone(), &target, None, &options).unwrap();
        let (_, method) = registry::auto::<f64>(&glm, &Value::Null).unwrap();
        let o = method
            .run(&mut Driver::default(), glm.start(), &glm)
            .unwrap();
        let value = o.value.unwrap();
        sum += value;
        for fit in [&newton.json, &together.json] {
            let column = &fit["columns"][class];
            assert_eq!(column["status"], "converged");
            close(
                "objective",
                column["objective"].as_f64().unwrap(),
                value,
                0.0,
                3e-10,
            )
            .unwrap();
        }
    }
    close(
        "objective",
        newton.json["objective"].as_f64().unwrap(),
        sum,
        0.0,
        3e-10,
    )
    .unwrap();
    let said = q.predict(&together, "wine_recognition").unwrap();
    for row in said["probabilities"].as_array().unwrap() {
        close("sum", floats(row).iter().sum(), 1.0, 1e-12, 0.0).unwrap();
    }
    assert_eq!(said["score"]["value"], together.json["accuracy"]);
}

/// The penalty of one-vs-rest is chosen on rows held out, whether the folds and classes are fitted together or not.
#[test]
fn one_vs_rest_chooses_its_penalty() {
    let q = Quadric::new();
    let choices: Vec<Value> = ["auto", "batched-l-bfgs"]
        .iter()
        .map(|method| {
            let fit = q
                .fit(&[
                    "wine_recognition",
                    "--loss",
                    "one-vs-rest",
                    "--l2",
                    "1,1e-2,1e-4",
                    "--cv",
                    "3",
                    "--method",
                    method,
                    "--force",
                ])
                .unwrap();
            assert_eq!(fit.code, 0, "{:#}", fit.json);
            fit.json["selection"].clone()
        })
        .collect();
    assert_eq!(choices[0]["l2"], choices[1]["l2"]);
    let points = |choice: &Value| choice["points"].as_array().unwrap().clone();
    assert_eq!(points(&choices[0]).len(), 3);
    for (a, b) in points(&choices[0]).iter().zip(&points(&choices[1])) {
        assert_eq!(a["l2"], b["l2"]);
        assert_eq!(a["accuracy"], b["accuracy"]);
        let loss = |p: &Value| p["loss"].as_f64().unwrap();
        close("loss held out", loss(a), loss(b), 0.0, 1e-4).unwrap();
    }
}

#[test]
fn what_one_vs_rest_cannot_do_is_refused() {
    let q = Quadric::new();
    for arguments in [
        &["fit", "wdbc", "--loss", "one-vs-rest"][..],
        &["compare", "iris", "--loss", "one-vs-rest"],
        &["fit", "iris", "--loss", "one-vs-rest", "--trace", "t.jsonl"],
    ] {
        let (code, json) = q.json(arguments);
        assert!(
            code != 0 && json["error"].is_object(),
            "{arguments:?}: {json:#}"
        );
    }
}

/// A class that nothing bounds is named; the others converge.
#[test]
fn a_class_that_separates_is_named() {
    let q = Quadric::new();
    for method in ["auto", "batched-l-bfgs"] {
        let ask = [
            "iris",
            "--loss",
            "one-vs-rest",
            "--method",
            method,
            "--force",
        ];
        let fit = q.fit(&ask).unwrap();
        assert_eq!(fit.code, 4, "{:#}", fit.json);
        assert_eq!(fit.json["columns"][0]["status"], "unbounded");
        assert_eq!(fit.json["columns"][1]["status"], "converged");
        assert!(fit.json["reason"].as_str().unwrap().contains("separates"));
    }
}

/// A cross-validation of twenty fits.
const CHOICE: [&str; 8] = [
    "fit",
    "german.numer_scale",
    "--cv",
    "4",
    "--l2",
    "1,1e-1,1e-2,1e-3,1e-4",
    "--force",
    "--quiet",
];

/// Points without their times, and the model.
fn essence(json: &Value) -> Value {
    let mut json = json.clone();
    for point in json["selection"]["points"].as_array_mut().expect("a list") {
        for fit in point["fits"].as_array_mut().expect("a list") {
            fit["seconds"] = Value::Null;
        }
    }
    Value::from(vec![
        json["selection"].clone(),
        json["coef"].clone(),
        json["status"].clone(),
    ])
}

/// The folds fitted together, where that is worth it, lose as little as those fitted alone by Newton's method.
#[test]
fn folds_together_are_folds_alone() {
    let q = Quadric::new();
    let (_, auto) = q.json(&CHOICE);
    for method in ["newton", "batched-l-bfgs"] {
        let (code, json) = q.json(&[&CHOICE[..], &["--method", method]].concat());
        assert_eq!(code, 0, "{json:#}");
        for at in 0..5 {
            let point = |json: &Value| json["selection"]["points"][at].clone();
            let (ours, other) = (point(&auto), point(&json));
            let loss = |p: &Value| p["loss"].as_f64().unwrap();
            close("loss", loss(&ours), loss(&other), 0.0, 1e-4).unwrap();
            let fits = other["fits"].as_array().unwrap();
            assert!(
                fits.iter().all(|f| f["status"] == "converged"),
                "{method}: {other:#}"
            );
        }
        assert_eq!(auto["selection"]["l2"], json["selection"]["l2"]);
    }
}

/// A cross-validation that is killed goes on from its finished fits to the same bits; another one is refused.
#[test]
fn a_killed_cross_validation_goes_on() {
    let q = Quadric::new();
    let (_, want) = q.json(&CHOICE);
    let saving = [
        &CHOICE[..],
        &["--resume", "run.qckpt", "--checkpoint-every", "0"],
    ]
    .concat();
    for milliseconds in [30, 80, 150, 300] {
        let mut child = q
            .command(&saving)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (code, got) = q.json(&saving);
    assert_eq!(code, 0, "{got:#}");
    assert_eq!(essence(&got), essence(&want));
    assert!(q.path().join("run.qckpt.fits").exists());
    // All fits are known now: only the time of the last one is new.
    let (_, again) = q.json(&saving);
    assert_eq!(again["selection"], got["selection"]);
    let mut other = saving.clone();
    other[3] = "5";
    let (code, json) = q.json(&other);
    assert!(code != 0, "{json:#}");
    let text = json["error"].to_string();
    assert!(text.contains("another command"), "{text}");
}

/// The time limit is one for all fits.
#[test]
fn a_time_limit_covers_the_cross_validation() {
    let q = Quadric::new();
    let limited = [&CHOICE[..], &["--time-limit", "0"]].concat();
    let (code, json) = q.json(&limited);
    assert!(code != 0);
    let text = json["error"].to_string();
    assert!(text.contains("time limit is spent in fit 1"), "{text}");
}

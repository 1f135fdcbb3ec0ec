//! The door: exit codes, one JSON document, nothing half written, the same bits for any number of threads.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

mod support;

use serde_json::Value;
use std::fs;
use support::Quadric;

/// A file of the working directory.
fn put(quadric: &Quadric, name: &str, text: &str) {
    fs::write(quadric.path().join(name), text).unwrap();
}

/// Runs, expects an error document with this exit code, and returns its message and context.
fn refused(quadric: &Quadric, arguments: &[&str], code: i32) -> (String, Value) {
    let before: Vec<_> = fs::read_dir(quadric.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    let (got, json) = quadric.json(arguments);
    assert_eq!(got, code, "{arguments:?}: {json:#}");
    let error = &json["error"];
    let message = error["message"]
        .as_str()
        .unwrap_or_else(|| panic!("{arguments:?}: no message in {json:#}"));
    let mut after: Vec<_> = fs::read_dir(quadric.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    after.retain(|name| !before.contains(name));
    assert!(after.is_empty(), "{arguments:?} left {after:?} behind");
    (message.to_owned(), error["context"].clone())
}

#[test]
fn bad_data_are_refused_with_their_place() {
    let q = Quadric::new();
    put(&q, "bad.svm", "1 1:2 2:3\n-1 1:x\n");
    let (_, context) = refused(&q, &["fit", "bad.svm"], 3);
    assert_eq!(
        (context["line"].as_u64(), context["column"].as_u64()),
        (Some(2), Some(4))
    );
    put(&q, "nan.csv", "a,y\n1,0\nnan,1\n");
    let (message, context) = refused(&q, &["fit", "nan.csv", "--loss", "logistic"], 3);
    assert_eq!(context["line"].as_u64(), Some(3), "{message}");
    put(&q, "one.csv", "a,y\n1,1\n2,1\n");
    let (message, _) = refused(&q, &["fit", "one.csv", "--loss", "logistic"], 3);
    assert!(message.contains("class"), "{message}");
    put(&q, "empty.csv", "");
    refused(&q, &["fit", "empty.csv"], 3);
    put(&q, "header.csv", "a,y\n");
    refused(&q, &["fit", "header.csv", "--loss", "logistic"], 3);
    put(&q, "weights.csv", "a,s,y\n1,-1,0\n2,1,1\n");
    refused(&q, &["fit", "weights.csv", "--sample-weight", "s"], 3);
    put(&q, "zero.csv", "a,s,y\n1,0,0\n2,0,1\n");
    refused(&q, &["fit", "zero.csv", "--sample-weight", "s"], 3);
    put(&q, "counts.csv", "a,y\n1,-2\n2,1\n");
    refused(&q, &["fit", "counts.csv", "--loss", "poisson"], 3);
    refused(&q, &["fit", "missing.csv"], 5);
    refused(&q, &["fit", "."], 5);
}

#[test]
fn usage_errors_are_usage_errors() {
    let q = Quadric::new();
    refused(&q, &["fit", "iris", "--l2", "-1"], 2);
    refused(&q, &["fit", "iris", "--l2", "nan"], 2);
    refused(&q, &["fit", "iris", "--loss", "logistik"], 2);
    let (message, context) = refused(&q, &["fit", "iris", "--method", "newtn"], 2);
    assert!(
        format!("{message} {context}").contains("newton"),
        "{message} {context}"
    );
    refused(&q, &["fit", "iris", "--threads", "0"], 2);
    refused(&q, &["fit", "iris", "--dtype", "f16"], 2);
    refused(&q, &["fit", "iris", "--tol", "1e-30"], 2);
    refused(&q, &["fit", "iris", "--time-limit", "-1"], 2);
    refused(&q, &["nonsense"], 2);
    refused(&q, &["predict", "nothing.safetensors", "iris"], 5);
}

#[test]
fn hostile_numbers_end_in_an_honest_status() {
    let q = Quadric::new();
    put(&q, "huge.csv", "x,y\n0,0\n1e100,1\n");
    put(&q, "large.csv", "x,y\n-1e24,0\n1e24,1\n");
    put(&q, "separable.csv", "x,y\n-1,0\n-2,0\n1,1\n2,1\n");
    for file in ["huge.csv", "large.csv", "separable.csv"] {
        for method in ["auto", "trust-region-newton", "l-bfgs", "gradient-descent"] {
            let fit = ["fit", file, "--loss", "logistic", "--l2", "0", "--force"];
            let (code, json) = q.json(&[&fit[..], &["--method", method]].concat());
            assert_eq!(code, 4, "{file}, {method}: {json:#}");
            assert_eq!(json["status"], "unbounded", "{file}, {method}: {json:#}");
            let reason = json["reason"].as_str();
            assert!(reason.is_some_and(|r| r.contains("separat")), "{json:#}");
        }
        let (code, json) = q.json(&["fit", file, "--loss", "logistic", "--l2", "1e-6", "--force"]);
        assert_eq!(
            (code, json["status"].as_str()),
            (0, Some("converged")),
            "{file}: {json:#}"
        );
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    let q = Quadric::new();
    for (set, method) in [
        ("a9a", "auto"),
        ("digits", "l-bfgs"),
        ("breast-cancer", "trust-region-newton"),
    ] {
        let mut models = Vec::new();
        for threads in ["1", "2", "3", "8"] {
            let model = format!("{set}-{threads}.safetensors");
            let fit = [
                "fit",
                set,
                "--l2",
                "1e-6",
                "--method",
                method,
                "--max-iterations",
                "30",
                "-o",
                &model,
            ];
            let (_, json) = q.json(&[&fit[..], &["--threads", threads]].concat());
            models.push((
                json["coef"].clone(),
                json["objective"].clone(),
                json["counts"].clone(),
            ));
        }
        assert!(
            models.windows(2).all(|w| w[0] == w[1]),
            "{set} with {method} depends on the threads"
        );
        assert!(models[0].0.is_array());
    }
}

#[test]
fn files_are_not_replaced_unasked() {
    let q = Quadric::new();
    put(&q, "mine.txt", "precious");
    refused(&q, &["fit", "iris", "--l2", "1", "-o", "mine.txt"], 2);
    assert_eq!(
        fs::read_to_string(q.path().join("mine.txt")).unwrap(),
        "precious"
    );
    put(&q, "iris.model.safetensors", "not a model");
    refused(&q, &["fit", "iris", "--l2", "1"], 2);
    let (code, _) = q.json(&["fit", "iris", "--l2", "1", "--force"]);
    assert_eq!(code, 0);
    let (code, _) = q.json(&["fit", "iris", "--l2", "2"]);
    assert_eq!(
        code, 0,
        "a model of the default name is replaced by a newer one"
    );
}

/// An IDX file of bytes.
fn put_idx(quadric: &Quadric, name: &str, shape: &[u32], values: &[u8]) {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    bytes.extend(shape.iter().flat_map(|n| n.to_be_bytes()));
    bytes.extend(values);
    fs::write(quadric.path().join(name), bytes).unwrap();
}

#[test]
fn sequences_are_shown_and_padded() {
    let q = Quadric::new();
    let text = "@problemName steps\n@classLabel true up down\n@data\n1,2,?:up\n3,2:down\n1,4:up\n";
    fs::write(q.path().join("steps.ts"), text).unwrap();
    let (code, json) = q.json(&["data", "inspect", "steps.ts"]);
    assert_eq!(
        (code, &json["rows"], &json["columns"]),
        (0, &3.into(), &3.into())
    );
    let problems = json["problems"].to_string();
    assert!(problems.contains("sequences have 2 to 3 steps"), "{json:#}");
    assert!(problems.contains("1 missing value, line 4"), "{json:#}");
    let (_, context) = refused(&q, &["data", "convert", "steps.ts", "steps.csv"], 3);
    assert_eq!(
        (&context["line"], &context["column"]),
        (&4.into(), &5.into())
    );
    let convert = [
        "data",
        "convert",
        "steps.ts",
        "steps.csv",
        "--missing",
        "mean",
    ];
    let (message, context) = refused(&q, &convert, 3);
    assert!(message.contains("2 steps"), "{message}");
    assert_eq!(context["line"], 5);
    let (code, _) = q.json(&[&convert[..], &["--pad"]].concat());
    assert_eq!(code, 0);
    let table = fs::read_to_string(q.path().join("steps.csv")).unwrap();
    // The mean of six values is 13/6.
    assert!(
        table.contains("1,2,2.1666") && table.contains("3,2,0"),
        "{table}"
    );
}

#[test]
fn images_are_fitted_with_the_labels_beside_them() {
    let q = Quadric::new();
    let (images, labels) = ("few-images-idx3-ubyte", "few-labels-idx1-ubyte");
    let values = [
        9, 0, 0, 1, 8, 1, 0, 0, 1, 0, 9, 0, 0, 1, 7, 0, 0, 2, 2, 9, 1, 0, 0, 8,
    ];
    put_idx(&q, images, &[6, 2, 2], &values);
    let (message, _) = refused(&q, &["fit", images], 2);
    assert!(message.contains(labels), "{message}");
    let (_, json) = q.json(&["data", "inspect", images]);
    assert_eq!((&json["rows"], &json["columns"]), (&6.into(), &4.into()));
    assert!(json["problems"].to_string().contains(labels), "{json:#}");
    put_idx(&q, labels, &[5], &[0, 0, 1, 1, 2]);
    let (message, _) = refused(&q, &["fit", images], 3);
    assert!(
        message.contains("5 labels") && message.contains("6 rows"),
        "{message}"
    );
    put_idx(&q, labels, &[6], &[0, 0, 1, 1, 2, 2]);
    let fit = q.fit(&[images, "--l2", "1"]).unwrap();
    assert_eq!((fit.code, &fit.json["status"]), (0, &"converged".into()));
    let answer = q.predict(&fit, images).unwrap();
    assert_eq!(answer["predictions"], serde_json::json!([0, 0, 1, 1, 2, 2]));
    assert_eq!(answer["score"]["value"], 1.0);
    let (code, _) = q.json(&["data", "convert", images, "few.svm"]);
    let text = fs::read_to_string(q.path().join("few.svm")).unwrap();
    assert_eq!((code, text.lines().next()), (0, Some("0 1:9 4:1")));
    refused(
        &q,
        &["data", "convert", "few.svm", "new-images-idx3-ubyte"],
        2,
    );
    // A file of labels alone is data without a target.
    let (message, _) = refused(&q, &["compare", labels], 2);
    assert!(message.contains("no target"), "{message}");
}

#[test]
fn cifar_is_fitted_by_its_name_or_its_format() {
    let q = Quadric::new();
    let mut bytes = Vec::new();
    for i in 0..8u8 {
        bytes.push(i % 2);
        bytes.extend((0..3072).map(|j| (j % 5) as u8 + 9 * (i % 2) + i / 4));
    }
    fs::write(q.path().join("batch.bin"), &bytes).unwrap();
    fs::write(q.path().join("batch.dat"), &bytes).unwrap();
    let by_name = q.fit(&["batch.bin", "--l2", "1"]).unwrap();
    let by_format = q
        .fit(&["batch.dat", "--l2", "1", "--format", "cifar10"])
        .unwrap();
    assert_eq!(by_name.json["coef"], by_format.json["coef"]);
    bytes.truncate(5000);
    fs::write(q.path().join("cut.bin"), &bytes).unwrap();
    let (message, _) = refused(&q, &["fit", "cut.bin"], 3);
    assert!(
        message.contains("record 2 has 1927 of 3073 bytes"),
        "{message}"
    );
}

#[test]
fn every_written_format_fits_to_the_same_bits() {
    let q = Quadric::new();
    let mut objectives = Vec::new();
    for name in ["iris.svm", "iris.csv", "iris.npy", "iris.npz"] {
        let (code, json) = q.json(&["data", "convert", "iris", name]);
        assert_eq!(code, 0, "{name}: {json:#}");
        let mut fit = vec!["fit", name, "--loss", "softmax", "--l2", "1e-3"];
        if name == "iris.npy" {
            // One array does not say which column is the target.
            fit.extend(["--target", "5"]);
        }
        let (code, json) = q.json(&fit);
        assert_eq!(code, 0, "{name}: {json:#}");
        objectives.push(json["objective"].as_f64().unwrap().to_bits());
    }
    objectives.dedup();
    assert_eq!(objectives.len(), 1, "{objectives:?}");
}

#[test]
fn rows_that_are_held_out_choose_the_penalty() {
    let q = Quadric::new();
    let (code, json) = q.json(&["fit", "wdbc", "--l2", "path", "--cv", "4"]);
    assert_eq!(code, 0, "{json:#}");
    let points = json["selection"]["points"].as_array().unwrap();
    let loss = |p: &Value| p["loss"].as_f64().unwrap();
    let best = points
        .iter()
        .min_by(|a, b| loss(a).total_cmp(&loss(b)))
        .unwrap();
    assert_eq!(json["config"]["l2"], best["l2"]);
    assert_eq!(json["selection"]["l2"], best["l2"]);
    assert_eq!(best["fits"].as_array().unwrap().len(), 4);
    // The final fit is the one that asking for this strength gives.
    let l2 = best["l2"].to_string();
    let (_, alone) = q.json(&["fit", "wdbc", "--l2", &l2, "--force"]);
    assert_eq!(json["objective"], alone["objective"]);
    assert_eq!(alone["selection"], Value::Null);
    // A file asks as flags do, and the answer does not depend on the threads.
    put(
        &q,
        "ask.toml",
        "[model]\nl2 = [1e-2, 1e-4]\n[select]\ncv = 3\n",
    );
    let ask = |threads| {
        let (code, json) = q.json(&[
            "fit",
            "wdbc",
            "--config",
            "ask.toml",
            "--force",
            "--threads",
            threads,
        ]);
        assert_eq!(code, 0, "{json:#}");
        let points = json["selection"]["points"].as_array().unwrap();
        points
            .iter()
            .map(|p| (p["l2"].as_f64(), p["loss"].as_f64()))
            .collect::<Vec<_>>()
    };
    let (one, two) = (ask("1"), ask("2"));
    assert_eq!(one, two);
    assert_eq!(one.len(), 2);
    assert!(one[0].0 > one[1].0, "from the strongest to the weakest");
    refused(&q, &["fit", "wdbc", "--l2", "road"], 2);
    refused(&q, &["fit", "wdbc", "--l2", "1,-1"], 2);
    refused(&q, &["fit", "wdbc", "--cv", "1"], 2);
    refused(&q, &["fit", "wdbc", "--cv", "570"], 2);
    refused(&q, &["compare", "wdbc", "--l2", "path"], 2);
}

#[test]
fn test_problems_are_minimised() {
    let q = Quadric::new();
    let (code, json) = q.json(&["minimize", "rosenbrock"]);
    assert_eq!(code, 0, "{json:#}");
    assert_eq!(json["answer"], "minimum");
    assert_eq!(json["method"], "trust-region-newton");
    let x: Vec<f64> = serde_json::from_value(json["x"].clone()).unwrap();
    assert!(x.iter().all(|x| (x - 1.0).abs() < 1e-8), "{x:?}");
    let (code, json) = q.json(&["minimize", "2", "--start=6,5", "--method", "cubic-newton"]);
    assert_eq!(
        (code, json["answer"].as_str()),
        (0, Some("minimum")),
        "{json:#}"
    );
    let (code, json) = q.json(&["minimize", "meyer", "--max-iterations", "3"]);
    assert_eq!(
        (code, json["answer"].as_str()),
        (4, Some("elsewhere")),
        "{json:#}"
    );
    let (_, json) = q.json(&["minimize", "--list"]);
    let problems = json["problems"].as_array().unwrap();
    let of = |name: &str| problems.iter().filter(|p| p["collection"] == name).count();
    assert_eq!(of("mgh"), 35);
    assert!(of("cutest") >= 50);
    let (code, json) = q.json(&["minimize", "mgh", "--method", "l-bfgs", "--dtype", "f64"]);
    assert_eq!(code, 0, "{json:#}");
    assert_eq!(json["runs"].as_array().unwrap().len(), 35);
    assert_eq!(json["solved"]["l-bfgs"], 35);
    let (message, context) = refused(&q, &["minimize", "rosenbrok"], 2);
    assert!(
        format!("{message} {context}").contains("rosenbrock"),
        "{message}"
    );
    refused(&q, &["minimize", "rosenbrock", "--start=1"], 3);
    for extra in ["--size=3", "--start=1", "--dtype=f32", "--method=newtn"] {
        refused(&q, &["minimize", "mgh", extra], 2);
    }
    refused(&q, &["minimize", "rosenbrock", "--report=p.html"], 2);
    refused(&q, &["minimize", "rosenbrock", "--methods=bfgs"], 2);
    refused(&q, &["minimize", "rosenbrock", "--start=1,nan"], 2);
    refused(&q, &["minimize", "rosenbrock", "--method", "newton"], 2);
}

#[test]
fn test_problems_have_the_size_that_is_asked_for() {
    let q = Quadric::new();
    for (name, size) in [
        ("extended-rosenbrock", "40"),
        ("genrose", "12"),
        ("chnrosnb", "25"),
    ] {
        let (code, json) = q.json(&["minimize", name, "--size", size]);
        assert_eq!(code, 0, "{json:#}");
        assert_eq!(json["answer"], "minimum", "{json:#}");
        assert_eq!(json["unknowns"].to_string(), size);
        assert_eq!(json["x"].as_array().unwrap().len().to_string(), size);
    }
    let (message, _) = refused(&q, &["minimize", "extended-rosenbrock", "--size=7"], 2);
    assert!(message.contains("even"), "{message}");
    let (message, _) = refused(&q, &["minimize", "beale", "--size=3"], 2);
    assert!(message.contains("only size"), "{message}");
    refused(&q, &["minimize", "chnrosnb", "--size=51"], 2);
}

#[test]
fn a_collection_makes_profiles() {
    let q = Quadric::new();
    let methods = "--methods=trust-region-newton,bfgs";
    let (code, json) = q.json(&["minimize", "mgh", methods, "--report=p.html"]);
    assert_eq!(code, 0, "{json:#}");
    let runs = json["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 70);
    for run in runs {
        let is_minimum = run["answer"] == "minimum";
        assert_eq!(
            run["to_minimum"]["evaluations"].is_u64(),
            is_minimum,
            "{run:#}"
        );
        assert!(
            run["answer"] != "elsewhere" || run["status"] != "converged",
            "{run:#}"
        );
    }
    let page = std::fs::read_to_string(q.path().join("p.html")).unwrap();
    for text in [
        "Performance profile by evaluations",
        "trust-region-newton",
        "osborne-2",
    ] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn predictions_follow_names_not_places() {
    let q = Quadric::new();
    put(
        &q,
        "train.csv",
        "colour,size,y\nred,1,no\nblue,2.5,yes\nred,3,yes\ngreen,0.5,no\nblue,1.5,no\ngreen,4,yes\n",
    );
    put(&q, "new.csv", "size,extra,colour\n4,7,red\n0.1,8,red\n");
    let (code, json) = q.json(&["fit", "train.csv", "--loss", "logistic", "--l2", "0.01"]);
    assert_eq!(code, 0, "{json:#}");
    assert_eq!(json["classes"], serde_json::json!(["no", "yes"]));
    let (code, json) = q.json(&["predict", "train.model.safetensors", "new.csv"]);
    assert_eq!(code, 0, "{json:#}");
    assert_eq!(json["predictions"], serde_json::json!(["yes", "no"]));
    put(&q, "less.csv", "extra,colour\n4,red\n");
    let (message, _) = refused(&q, &["predict", "train.model.safetensors", "less.csv"], 3);
    assert!(message.contains("size"), "{message}");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let q = Quadric::new();
    for arguments in ["fit iris --l2 1 --json", "methods", "completions bash"] {
        let line = format!(
            "{} {arguments} | head -c 1 > /dev/null; echo ${{PIPESTATUS[0]}}",
            env!("CARGO_BIN_EXE_quadric")
        );
        let output = std::process::Command::new("bash")
            .args(["-c", &line])
            .current_dir(q.path())
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            "0",
            "{arguments}"
        );
        assert!(
            !String::from_utf8_lossy(&output.stderr).contains("panicked"),
            "{arguments}"
        );
    }
    let line = format!("{} methods > /dev/full", env!("CARGO_BIN_EXE_quadric"));
    let status = std::process::Command::new("bash")
        .args(["-c", &line])
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(5));
}

#[test]
fn every_command_has_help() {
    let q = Quadric::new();
    for command in [
        "fit",
        "predict",
        "minimize",
        "compare",
        "data",
        "report",
        "methods",
        "completions",
    ] {
        let output = q.run(&[command, "--help"]);
        assert!(output.status.success());
        assert!(output.stdout.len() > 200, "{command}");
    }
    for shell in ["bash", "zsh", "fish", "powershell"] {
        assert!(
            q.run(&["completions", shell]).stdout.len() > 1000,
            "{shell}"
        );
    }
}

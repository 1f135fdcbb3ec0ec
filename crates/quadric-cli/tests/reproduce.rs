//! `quadric reproduce`: the list, a tiny run with its page, refusals.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

mod support;

use serde_json::Value;
use std::time::Duration;
use support::Quadric;

const FEW: [&str; 6] = [
    "--width",
    "2",
    "--examples",
    "64",
    "--hessian-examples",
    "8",
];

#[test]
fn systems_are_listed() {
    let q = Quadric::new();
    let (code, list) = q.json(&["reproduce"]);
    assert_eq!(code, 0, "{list:#}");
    assert_eq!(list["systems"][0]["name"], "pyhessian");
    let output = q.run(&["reproduce"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("arXiv 1912.07145"), "{text}");
}

#[test]
fn a_tiny_run_of_pyhessian() {
    let q = Quadric::new();
    let sizes = ["--epochs", "1", "--seeds", "1", "--depths", "8"];
    let run = [&["reproduce", "pyhessian"], &sizes[..], &FEW].concat();
    let (code, found) = q.json(&[&run[..], &["--output", "page.html"]].concat());
    // Eigenvalues may be left open, and the document says so.
    assert!([0, 4].contains(&code), "{found:#}");

    let measured = found["measured"].as_array().unwrap();
    // Four networks, before and after the epoch.
    assert_eq!(measured.len(), 8);
    let mut all_converged = true;
    for m in measured {
        assert!(m.get("diverged").is_none(), "{m:#}");
        let hessian = &m["report"]["hessian"];
        let number = |v: &Value| v.as_f64().unwrap();
        let (top, bottom) = (&hessian["top"][0], &hessian["bottom"][0]);
        assert!(number(&top["value"]) > number(&bottom["value"]), "{m:#}");
        // The trace is a sum of eigenvalues, each between the ends.
        let parameters = number(&m["report"]["parameters"]);
        let mean = number(&hessian["trace"]["value"]) / parameters;
        assert!(mean < number(&top["value"]) && mean > number(&bottom["value"]));
        let pairs = hessian["top"].as_array().unwrap().iter();
        all_converged &= pairs.chain([bottom]).all(|e| e["converged"] == true);
        assert_eq!(hessian.get("density").is_some(), m["last"] == true);
    }
    assert_eq!(code == 0, all_converged);
    // Each network has the rate with the least loss, of those tried.
    let searches = found["searches"].as_array().unwrap();
    assert_eq!(searches.len(), 4);
    for (i, s) in searches.iter().enumerate() {
        let tried = s["tried"].as_array().unwrap();
        assert_eq!(tried.len(), 3, "{s:#}");
        let loss = |t: &Value| t["loss"].as_f64().unwrap_or(f64::INFINITY);
        let least = tried.iter().map(loss).fold(f64::INFINITY, f64::min);
        let chosen = tried.iter().find(|t| t["rate"] == s["rate"]).unwrap();
        assert_eq!(loss(chosen), least, "{s:#}");
        assert_eq!(measured[2 * i]["rate"], s["rate"]);
    }
    let claims = found["claims"].as_array().unwrap();
    assert_eq!(claims.len(), 3);
    // One depth shows no growth with depth.
    assert_eq!(claims[1]["verdict"], "open");
    let page = std::fs::read_to_string(q.path().join("page.html")).unwrap();
    assert!(page.contains("ResNet-8 -BN -Res, epoch 1"));
}

#[test]
fn what_would_train_nothing_is_refused_at_once() {
    let q = Quadric::new();
    std::fs::write(q.path().join("page.html"), "kept").unwrap();
    for (arguments, code, about) in [
        (["--epochs", "0"], 2, "epochs"),
        (["--seeds", "0"], 2, "seeds"),
        (["--depths", "8,9"], 2, "depth"),
        (["--depths", "8,8"], 2, "depths"),
        (["--rates", "0.1,-1"], 2, "rates"),
        (["--width", "0"], 2, "width"),
        (["--examples", "1798"], 2, "examples"),
        (["--hessian-examples", "0"], 2, "hessian-examples"),
        (["--output", "page.html"], 5, "page.html"),
    ] {
        let [option, value] = arguments;
        let argument = format!("{option}={value}");
        let (found, document) = q.json(&["reproduce", "pyhessian", &argument]);
        assert_eq!(found, code, "{arguments:?}: {document:#}");
        let message = document["error"]["message"].as_str().unwrap();
        assert!(message.contains(about), "{arguments:?}: {message}");
    }
}

/// A run that is killed goes on from its finished trainings to the same numbers; one with other options is refused.
#[test]
fn a_killed_run_goes_on() {
    let q = Quadric::new();
    let sizes = ["--epochs=1", "--seeds=1", "--depths=8", "--rates=0.1"];
    let run = [&["reproduce", "pyhessian"], &sizes[..], &FEW].concat();
    let saving = [&run[..], &["--checkpoint", "run.qckpt"]].concat();
    let file = q.path().join("run.qckpt");
    let mut child = q.command(&saving).spawn().unwrap();
    // The first training is saved long before the last of four ends.
    while !file.exists() {
        assert!(child.try_wait().unwrap().is_none(), "no checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let other = [&saving[..], &["--start", "he"]].concat();
    let (code, document) = q.json(&other);
    assert_eq!(code, 3, "{document:#}");
    let message = document["error"]["message"].as_str().unwrap();
    assert!(message.contains("other options"), "{message}");

    let (_, mut resumed) = q.json(&saving);
    assert!(!file.exists());
    let (_, mut whole) = q.json(&run);
    for document in [&mut resumed, &mut whole] {
        for m in document["measured"].as_array_mut().unwrap() {
            m["report"].as_object_mut().unwrap().remove("seconds");
        }
    }
    assert_eq!(whole["measured"].as_array().unwrap().len(), 8);
    assert_eq!(resumed, whole);
}

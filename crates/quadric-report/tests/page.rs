//! The page as text, the file, the table and the sentence.

#![allow(clippy::unwrap_used)] // Helpers fail the test they are called from.

mod common;

use quadric_core::ErrorKind;
use quadric_report::{
    Case, Comparison, Contender, Family, Report, Run, Trial, render, render_comparison, summary,
    text_table, write,
};

/// The JSON block of a page.
fn block(html: &str) -> &str {
    let (_, rest) = html
        .split_once("<script type=\"application/json\" id=\"data\">")
        .unwrap();
    rest.split_once("</script>").unwrap().0
}

/// A run that is only its times.
fn run(method: &str, family: Family, time_to: &[(f64, Option<f64>)]) -> Run {
    Run {
        method: method.to_owned(),
        family,
        status: "max_time".to_owned(),
        time_to: time_to.to_vec(),
        seconds: 5.0,
        points: vec![quadric_report::Point {
            suboptimality: Some(3.21e-5),
            ..Default::default()
        }],
        ..Run::default()
    }
}

fn race(runs: Vec<Run>) -> Report {
    Report {
        runs,
        ..Report::default()
    }
}

#[test]
fn the_numbers_survive_in_the_page() {
    let report = common::race();
    let html = render(&report).unwrap();
    let data: serde_json::Value = serde_json::from_str(block(&html)).unwrap();
    let runs = data["runs"].as_array().unwrap();
    assert_eq!(runs.len(), report.runs.len());
    for (seen, run) in runs.iter().zip(&report.runs) {
        assert_eq!(seen["method"], run.method.as_str());
        let column = seen["points"]["suboptimality"].as_array().unwrap();
        assert_eq!(column.len(), run.points.len());
        for (value, point) in column.iter().zip(&run.points) {
            // Reading JSON rounds once more.
            let (read, wrote) = (value.as_f64().unwrap(), point.suboptimality.unwrap());
            assert!((read - wrote).abs() <= 4e-16 * wrote, "{read} {wrote}");
        }
    }
}

#[test]
fn nothing_is_fetched() {
    let html = render(&common::race()).unwrap();
    assert!(html.contains("content=\"default-src 'none';"));
    // Outside the scripts there is no address at all; inside there is one script of ours and the chart library.
    let outside: String = html
        .split("<script")
        .map(|part| part.split_once("</script>").map_or(part, |(_, rest)| rest))
        .collect();
    for word in ["http", "src=", "//", "url(", "@import"] {
        let count = outside.matches(word).count();
        let allowed = usize::from(word == "http");
        assert_eq!(count, allowed, "{word}");
    }
    assert!(outside.contains("http-equiv"));
    assert_eq!(
        html.matches("<script").count(),
        html.matches("</script").count()
    );
    assert_eq!(html.matches("<script>").count(), 2);
}

#[test]
fn hostile_names_are_escaped() {
    let report = common::hostile();
    let html = render(&report).unwrap();
    assert_eq!(html.matches("</script").count(), 3);
    assert!(!html.contains("<img"));
    assert!(!html.contains("<b>&\""));
    assert!(html.contains("&lt;/script&gt;") || html.contains("&#60;/script&#62;"));
    let json = block(&html);
    assert!(!json.contains(['<', '>', '&']));
    let data: serde_json::Value = serde_json::from_str(json).unwrap();
    for (seen, run) in data["runs"].as_array().unwrap().iter().zip(&report.runs) {
        assert_eq!(seen["method"], run.method.as_str());
    }
    let table = text_table(&report, None, false);
    assert!(table.chars().all(|c| c == '\n' || !c.is_control()));
    assert!(!table.contains('\u{202e}'));
    assert!(table.lines().all(|l| l.chars().count() <= 100));
}

#[test]
fn long_traces_are_thinned_and_values_that_are_not_finite_become_null() {
    let mut report = common::race();
    report.runs.truncate(1);
    let first = report.runs[0].points[0];
    report.runs[0].points = (0..100_000)
        .map(|iteration| quadric_report::Point {
            iteration,
            gradient_norm: Some(f64::NAN),
            ..first
        })
        .collect();
    let html = render(&report).unwrap();
    let data: serde_json::Value = serde_json::from_str(block(&html)).unwrap();
    let points = &data["runs"][0]["points"];
    let steps = points["iteration"].as_array().unwrap();
    assert!(steps.len() <= 3000, "{}", steps.len());
    assert_eq!(steps[0], 0);
    assert_eq!(steps[steps.len() - 1], 99_999);
    assert_eq!(points["gradient_norm"][0], serde_json::Value::Null);
    assert!(html.contains("has 100000 points; the page holds"));
}

#[test]
fn the_file_is_whole_and_not_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    let report = common::race();
    write(&path, &report, false).unwrap();
    let html = render(&report).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), html);
    let refused = write(&path, &Report::default(), false).unwrap_err();
    assert!(refused.to_string().contains("report.html"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), html);
    write(&path, &Report::default(), true).unwrap();
    assert_ne!(std::fs::read_to_string(&path).unwrap(), html);
    let lost = write(&folder.path().join("no/such/folder.html"), &report, false);
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::Io);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn the_table_is_aligned_and_fits() {
    let report = common::race();
    let expected = "\
method                  status     iterations  passes  to 1e-4  to 1e-8  to 1e-12  certificate
newton                  converged          13    27.0   0.160*   0.176*    0.208*  gap 2.30e-16
newton-cg               converged          17     162   0.341    0.403     0.465   gap 2.30e-16
trust-region-newton-cg  converged          24     145   0.330    0.396     0.440   gap 2.30e-16
bfgs                    converged         210     232    1.00     1.38      1.64   gap 2.30e-16
l-bfgs                  converged         620     714   0.402     1.16      2.14   gap 2.30e-16
gradient-descent        max time         1600    2560       -        -         -   gradient 0.0104
accelerated-gradient    max time         1500    1950    5.57        -         -   gradient 0.00173
saga                    max time          420     421    5.31        -         -   gradient 0.000347
Times in seconds to a relative suboptimality; * is the best, - means never.
gradient-descent: the time limit of 10 s ended the run
accelerated-gradient: the time limit of 10 s ended the run
saga: the time limit of 10 s ended the run
";
    let table = text_table(&report, None, false);
    assert_eq!(table, expected);
    for width in [20, 40, 60, 80, 100, 140] {
        let table = text_table(&report, Some(width), false);
        assert!(
            table.lines().all(|l| l.chars().count() <= width),
            "{width}\n{table}"
        );
        assert!(table.lines().next().unwrap().starts_with("method"));
    }
    let coloured = text_table(&report, None, true);
    assert!(coloured.contains("\u{1b}[1;32m"));
    let mut plain = coloured;
    for style in ["1", "2", "32", "33", "31", "1;32", "0"] {
        plain = plain.replace(&format!("\u{1b}[{style}m"), "");
    }
    assert_eq!(plain, table);
}

#[test]
fn the_sentence_is_true() {
    use Family::{FirstOrder, QuasiNewton, SecondOrder};
    let all = |a, b, c| vec![(1e-4, a), (1e-8, b), (1e-12, c)];
    let newton = run("newton", SecondOrder, &all(Some(0.1), Some(0.2), Some(0.3)));
    let lbfgs = run("l-bfgs", QuasiNewton, &all(Some(1.0), Some(7.0), None));
    let gd = run("gd", FirstOrder, &all(None, None, None));
    let cases = [
        (
            vec![gd.clone(), newton.clone(), lbfgs.clone()],
            "newton reaches a relative suboptimality of 1e-8 in 200 ms, 35 times sooner than the best first-order or \
             quasi-Newton method (l-bfgs, 7.00 s). Only newton gets to 1e-12.",
        ),
        (
            vec![newton.clone(), gd.clone()],
            "newton reaches a relative suboptimality of 1e-8 in 200 ms; gd does not get there, it stops at 3.21e-5 \
             after 5.00 s. Only newton gets to 1e-12.",
        ),
        (
            vec![lbfgs.clone(), gd.clone()],
            "l-bfgs reaches a relative suboptimality of 1e-8 in 7.00 s; gd does not get there, it stops at 3.21e-5 \
             after 5.00 s. None gets to 1e-12.",
        ),
        (
            vec![newton.clone(), gd.clone(), gd.clone()],
            "newton reaches a relative suboptimality of 1e-8 in 200 ms; no first-order method gets there, the closest \
             (gd) stops at 3.21e-5 after 5.00 s. Only newton gets to 1e-12.",
        ),
        (
            vec![gd.clone(), gd.clone()],
            "No method reaches a relative suboptimality of 1e-4; the closest, gd, stops at 3.21e-5 after 5.00 s (max \
             time).",
        ),
        (
            vec![newton.clone(), newton.clone()],
            "newton reaches a relative suboptimality of 1e-8 in 200 ms, about as soon as the next method (newton, 200 \
             ms). Both methods get to 1e-12.",
        ),
        (
            vec![
                run("slow-newton", SecondOrder, &all(Some(3.0), Some(6.0), None)),
                run("fast-gd", FirstOrder, &all(Some(0.5), None, None)),
            ],
            "slow-newton reaches a relative suboptimality of 1e-8 in 6.00 s; fast-gd does not get there, it stops at \
             3.21e-5 after 5.00 s. None gets to 1e-12.",
        ),
        (
            vec![
                run("slow-newton", SecondOrder, &all(Some(3.0), None, None)),
                run("fast-gd", FirstOrder, &all(Some(0.5), None, None)),
            ],
            "fast-gd reaches a relative suboptimality of 1e-4 in 500 ms, 6.0 times sooner than the best second-order \
             method (slow-newton, 3.00 s). None gets to 1e-12.",
        ),
    ];
    for (runs, sentence) in cases {
        assert_eq!(summary(&race(runs)), sentence);
    }
    // Without an optimum to compare with.
    let mut blind = run("newton", SecondOrder, &[]);
    blind.points.clear();
    blind.status = "converged".to_owned();
    blind.iterations = 1;
    blind.certificate = Some(("gap_bound".to_owned(), 3.2e-13));
    assert_eq!(
        summary(&race(vec![blind.clone()])),
        "newton ends converged after 1 iteration and 5.00 s (gap bound 3.20e-13)."
    );
    let mut lost = blind.clone();
    lost.status = "stalled".to_owned();
    assert_eq!(
        summary(&race(vec![lost.clone(), blind])),
        "newton converges first, in 5.00 s; 1 of 2 methods converge."
    );
    assert_eq!(
        summary(&race(vec![lost.clone(), lost])),
        "None of the 2 methods converges."
    );
    assert_eq!(summary(&Report::default()), "No run was recorded.");
}

fn trial(evaluations: Option<u64>) -> Trial {
    Trial {
        status: if evaluations.is_some() {
            "converged"
        } else {
            "stalled"
        }
        .to_owned(),
        value: Some(0.25),
        is_local: false,
        evaluations,
        seconds: evaluations.map(|e| 1e-6 * e as f64),
    }
}

#[test]
fn a_comparison_shows_profiles_and_failures() {
    let case = |name: &str| Case {
        name: name.to_owned(),
        unknowns: 2,
        minimum: "0".to_owned(),
    };
    let contender = |name: &str, costs: [Option<u64>; 2]| Contender {
        name: name.to_owned(),
        family: Family::SecondOrder,
        trials: costs.map(trial).to_vec(),
    };
    let mut c = Comparison {
        title: "A <b> comparison".to_owned(),
        subtitle: String::new(),
        problems: vec![case("easy"), case("hard </script>")],
        contenders: vec![
            contender("one", [Some(10), None]),
            contender("two", [Some(40), Some(90)]),
        ],
        config: None,
    };
    let html = render_comparison(&c).unwrap();
    assert!(!html.contains("<b> comparison") && !html.contains("hard </script>"));
    assert!(html.contains("<b>two</b> reaches the known minimum of the most problems: 2 of 2."));
    assert!(html.contains("1 converged, 1 stalled"));
    assert!(
        html.contains("hard &#60;/script&#62;: stalled")
            || html.contains("hard &lt;/script&gt;: stalled")
    );
    let data: serde_json::Value = serde_json::from_str(block(&html)).unwrap();
    assert_eq!(data["by_evaluations"][0], serde_json::json!([[0.0, 0.5]]));
    assert_eq!(
        data["by_evaluations"][1],
        serde_json::json!([[0.0, 0.5], [2.0, 1.0]])
    );
    assert_eq!(
        data["data"][1],
        serde_json::json!([[40.0, 0.5], [90.0, 1.0]])
    );
    c.contenders[0].trials.pop();
    assert_eq!(
        render_comparison(&c).unwrap_err().kind(),
        ErrorKind::Argument
    );
}

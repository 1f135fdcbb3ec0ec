//! A race as it looks on an ill-conditioned logistic regression, made of formulas.

use quadric_report::{Family, Point, Report, Run, time_to};

/// How a method approaches the optimum: relative suboptimality after `k` of `n` steps.
type Curve = fn(k: f64, n: f64) -> f64;

struct Racer {
    method: &'static str,
    family: Family,
    status: &'static str,
    steps: u64,
    /// Seconds and passes of a step.
    cost: (f64, f64),
    curve: Curve,
}

const RACERS: [Racer; 8] = [
    Racer {
        method: "newton",
        family: Family::SecondOrder,
        status: "converged",
        steps: 13,
        cost: (0.016, 2.0),
        curve: |k, _| 0.6 * (-0.55 * k - (0.9 * (k - 7.0).max(0.0)).powi(2)).exp(),
    },
    Racer {
        method: "newton-cg",
        family: Family::SecondOrder,
        status: "converged",
        steps: 17,
        cost: (0.031, 9.5),
        curve: |k, _| 0.6 * (-0.5 * k - (0.62 * (k - 7.0).max(0.0)).powi(2)).exp(),
    },
    Racer {
        method: "trust-region-newton-cg",
        family: Family::SecondOrder,
        status: "converged",
        steps: 24,
        cost: (0.022, 6.0),
        curve: |k, _| 0.6 * (-0.3 * k - (0.42 * (k - 9.0).max(0.0)).powi(2)).exp(),
    },
    Racer {
        method: "bfgs",
        family: Family::QuasiNewton,
        status: "converged",
        steps: 210,
        cost: (0.011, 1.1),
        curve: |k, _| 0.7 * (-0.05 * k - (k / 55.0).powi(3)).exp() * (1.0 + 0.3 * (k * 0.7).sin()),
    },
    Racer {
        method: "l-bfgs",
        family: Family::QuasiNewton,
        status: "converged",
        steps: 620,
        cost: (0.006, 1.15),
        curve: |k, _| 0.7 * (-0.9 * k.sqrt() - 0.028 * k).exp() * (1.0 + 0.4 * (k * 0.31).sin()),
    },
    Racer {
        method: "gradient-descent",
        family: Family::FirstOrder,
        status: "max_time",
        steps: 1600,
        cost: (0.006, 1.6),
        curve: |k, _| 0.7 / (1.0 + 0.6 * k),
    },
    Racer {
        method: "accelerated-gradient",
        family: Family::FirstOrder,
        status: "max_time",
        steps: 1500,
        cost: (0.0066, 1.3),
        curve: |k, n| {
            0.7 / (1.0 + 0.06 * k).powf(2.2) * (1.0 + 0.6 * (k * 40.0 / n).sin() * (k / n))
        },
    },
    Racer {
        method: "saga",
        family: Family::FirstOrder,
        status: "max_time",
        steps: 420,
        cost: (0.0237, 1.0),
        curve: |k, _| 0.5 * (-0.021 * k).exp() / (1.0 + 0.2 * k),
    },
];

fn run(racer: &Racer) -> Run {
    let n = racer.steps as f64;
    let point = |k: u64| {
        let t = k as f64;
        let value = (racer.curve)(t, n);
        // The first evaluation takes a little; values below the rounding of F are what rounding leaves of them.
        let rounded = if value < 1e-16 { 0.0 } else { value };
        Point {
            iteration: k,
            seconds: 0.0004 + racer.cost.0 * t,
            passes: 1.0 + racer.cost.1 * t,
            suboptimality: Some(rounded),
            gradient_norm: Some(0.3 * value.sqrt() * (1.0 + 0.3 * (1.3 * t).cos())),
        }
    };
    let points: Vec<Point> = (0..=racer.steps).map(point).collect();
    let last = points[points.len() - 1];
    let gap = last.suboptimality.unwrap_or(0.0) * 0.3127;
    let done = racer.status == "converged";
    Run {
        method: racer.method.to_owned(),
        family: racer.family,
        status: racer.status.to_owned(),
        reason: (!done).then(|| "the time limit of 10 s ended the run".to_owned()),
        iterations: racer.steps,
        passes: last.passes,
        seconds: last.seconds,
        objective: Some(0.312_704_559_1 + gap),
        certificate: Some(if racer.family == Family::FirstOrder {
            (
                "gradient_norm".to_owned(),
                last.gradient_norm.unwrap_or(0.0),
            )
        } else {
            ("gap_bound".to_owned(), gap.max(2.3e-16))
        }),
        time_to: [1e-4, 1e-8, 1e-12]
            .map(|t| (t, time_to(&points, t)))
            .to_vec(),
        points,
    }
}

/// Eight methods, hundreds of points, suboptimality from 1 to below rounding.
#[allow(dead_code)]
pub(crate) fn race() -> Report {
    let fact = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Report {
        title: "Race on phishing".to_owned(),
        subtitle: "Logistic regression on 11055 rows and 68 columns (331650 nonzeros), l2 = 1e-6, f64, 2 threads, \
                   quadric 0.1.0"
            .to_owned(),
        facts: vec![
            fact("Data set", "phishing (embedded)"),
            fact("Rows", "11055"),
            fact("Columns", "68"),
            fact("Nonzeros", "331650"),
            fact("Loss", "logistic"),
            fact("L2 penalty", "1e-6"),
            fact("Objective at the optimum", "0.3127045591"),
            fact("Reference", "newton to a gap of 1e-15"),
            fact("Seed", "0"),
            fact("Host", "2 cores, x86-64"),
        ],
        runs: RACERS.iter().map(run).collect(),
        notes: vec!["Every method starts at zero and has 10 seconds.".to_owned()],
        config: Some(serde_json::json!({
            "loss": "logistic", "l2": 1e-6, "seed": 0, "threads": 2, "time_limit": 10.0,
            "methods": RACERS.iter().map(|r| r.method).collect::<Vec<_>>()
        })),
    }
}

/// Names that try to be markup, script, templates, terminal commands, turned text, and very long.
#[allow(dead_code)] // Each test binary uses its own part of this module.
pub(crate) fn hostile() -> Report {
    let mut report = race();
    report.runs.truncate(5);
    let names = [
        "</script><b>&\"'".to_owned(),
        "<img src=x onerror=\"console.error('ran')\">".to_owned(),
        "`${alert(1)}` %{x} {{y}} <a href=\"http://evil.example\">a</a>".to_owned(),
        "\u{202e}rtl\u{1b}[31m\nnew line".to_owned(),
        "long ".repeat(200_000),
    ];
    for (run, name) in report.runs.iter_mut().zip(&names) {
        run.method.clone_from(name);
        run.reason = Some(name.chars().take(300).collect());
    }
    report.runs[1].status.clone_from(&names[0]);
    report.runs[1].certificate = Some((names[1].clone(), 1e-3));
    report.title = "<script>console.error('title')</script>".to_owned();
    report.subtitle.clone_from(&names[1]);
    report.notes = vec![names[0].clone(), "<!-- <script>".to_owned()];
    report.facts = vec![(names[0].clone(), names[1].clone())];
    report.config = Some(serde_json::json!({ names[0].as_str(): names[1] }));
    report
}

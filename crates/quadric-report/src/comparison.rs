//! Many problems by several methods as one page: profiles, a table, what was not solved.

use crate::format::{clean, escape, list, number, precise};
use crate::frame::{COLOURS, Frame, NAME, fill};
use crate::page::dash;
use crate::summary::words;
use crate::{Family, Steps, data_profiles, performance_profiles};
use askama::Template;
use quadric_core::{Error, Result};
use serde::Serialize;

const SCRIPT: &str = include_str!("../templates/profiles.js");

/// Methods over a collection of problems.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// Heading of the page.
    pub title: String,
    /// The problems in plain words.
    pub subtitle: String,
    /// The problems.
    pub problems: Vec<Case>,
    /// The methods, in the order of legend and table.
    pub contenders: Vec<Contender>,
    /// The resolved configuration, shown folded.
    pub config: Option<serde_json::Value>,
}

/// A problem.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// Number of unknowns.
    pub unknowns: usize,
    /// Its known minimum, as text.
    pub minimum: String,
}

/// A method and its runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Contender {
    /// Name of the method.
    pub name: String,
    /// What it knows about curvature; it decides the dash of the curve.
    pub family: Family,
    /// One run for every problem, in their order.
    pub trials: Vec<Trial>,
}

/// A run of a method on a problem.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Trial {
    /// How it ended, such as `converged`.
    pub status: String,
    /// The value that it returned.
    pub value: Option<f64>,
    /// True at a local minimum that is known and not the least.
    pub is_local: bool,
    /// Evaluations until the known minimum was reached; `None` if it was not.
    pub evaluations: Option<u64>,
    /// Seconds until then.
    pub seconds: Option<f64>,
}

#[derive(Template)]
#[template(path = "profiles.html")]
struct Page {
    frame: Frame,
    methods: Vec<Method>,
    cases: Vec<Row>,
    failures: Vec<(String, Vec<String>)>,
}

struct Method {
    index: usize,
    name: String,
    colour: usize,
    again: bool,
    dash: &'static str,
    family: &'static str,
    solved: String,
    local: usize,
    fastest: usize,
    fewest: usize,
    statuses: String,
}

struct Row {
    name: String,
    unknowns: usize,
    minimum: String,
    cells: Vec<(String, bool)>,
}

#[derive(Serialize)]
struct Data<'a> {
    schema: u32,
    comparison: &'a Comparison,
    labels: Vec<String>,
    by_evaluations: Vec<Steps>,
    by_seconds: Vec<Steps>,
    data: Vec<Steps>,
}

/// One HTML page with performance and data profiles that needs nothing else, like [`render`](crate::render).
///
/// # Errors
/// `Argument` if a method has not as many runs as there are problems; `Internal` if the page cannot be written as text.
pub fn render_comparison(c: &Comparison) -> Result<String> {
    for m in &c.contenders {
        if m.trials.len() != c.problems.len() {
            let expected = format!("{}, one for each problem", c.problems.len());
            return Err(Error::argument("trials", m.trials.len(), &expected));
        }
    }
    let evaluations = costs(c, |t| t.evaluations.map(|e| e as f64));
    let seconds = costs(c, |t| t.seconds);
    let data = Data {
        schema: 1,
        comparison: c,
        labels: c.contenders.iter().map(|m| clean(&m.name, NAME)).collect(),
        by_evaluations: performance_profiles(&evaluations),
        by_seconds: performance_profiles(&seconds),
        data: data_profiles(&evaluations),
    };
    let frame = Frame::new(
        &c.title,
        &c.subtitle,
        summary(c),
        c.config.as_ref(),
        &data,
        SCRIPT,
    )?;
    let fewest = cheapest(&evaluations);
    fill(&Page {
        frame,
        methods: methods(c, &cheapest(&seconds), &fewest),
        cases: cases(c, &fewest),
        failures: failures(c),
    })
}

fn costs(c: &Comparison, cost: impl Fn(&Trial) -> Option<f64>) -> Vec<Vec<Option<f64>>> {
    let of = |m: &Contender| m.trials.iter().map(&cost).collect();
    c.contenders.iter().map(of).collect()
}

/// For every method and problem, whether nobody has a lower cost.
fn cheapest(costs: &[Vec<Option<f64>>]) -> Vec<Vec<bool>> {
    let best = |p: usize| costs.iter().filter_map(|m| m[p]).reduce(f64::min);
    let is_best = |(p, cost): (usize, &Option<f64>)| cost.is_some() && *cost == best(p);
    let of = |m: &Vec<Option<f64>>| m.iter().enumerate().map(is_best).collect();
    costs.iter().map(of).collect()
}

fn solved(m: &Contender) -> usize {
    m.trials.iter().filter(|t| t.evaluations.is_some()).count()
}

fn summary(c: &Comparison) -> String {
    let most = c.contenders.iter().map(solved).max().unwrap_or(0);
    let first = c.contenders.iter().filter(|m| solved(m) == most);
    let names: Vec<String> = first
        .map(|m| format!("<b>{}</b>", escape(&clean(&m.name, NAME))))
        .collect();
    let all = c.problems.len();
    match names.len() {
        0 => "No method was run.".to_owned(),
        1 => format!(
            "{} reaches the known minimum of the most problems: {most} of {all}.",
            list(&names)
        ),
        _ => format!(
            "{} reach the known minimum of the most problems: {most} of {all}.",
            list(&names)
        ),
    }
}

fn count(row: &[bool]) -> usize {
    row.iter().filter(|b| **b).count()
}

fn methods(c: &Comparison, fastest: &[Vec<bool>], fewest: &[Vec<bool>]) -> Vec<Method> {
    let method = |(index, m): (usize, &Contender)| Method {
        index,
        name: clean(&m.name, NAME),
        colour: index % COLOURS,
        again: index >= COLOURS,
        dash: dash(m.family),
        family: m.family.name(),
        solved: format!("{} of {}", solved(m), m.trials.len()),
        local: m.trials.iter().filter(|t| t.is_local).count(),
        fastest: count(&fastest[index]),
        fewest: count(&fewest[index]),
        statuses: statuses(m),
    };
    c.contenders.iter().enumerate().map(method).collect()
}

/// How many runs ended in which way, the most frequent first.
fn statuses(m: &Contender) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for t in &m.trials {
        match counts.iter_mut().find(|(s, _)| *s == t.status) {
            Some((_, n)) => *n += 1,
            None => counts.push((&t.status, 1)),
        }
    }
    counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let text = |(s, n): &(&str, usize)| format!("{n} {}", words(s));
    counts.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn cases(c: &Comparison, fewest: &[Vec<bool>]) -> Vec<Row> {
    let cell = |p: usize, m: usize| {
        let trial = &c.contenders[m].trials[p];
        let text = match trial.evaluations {
            Some(evaluations) => evaluations.to_string(),
            None if trial.is_local => "local".to_owned(),
            None => words(&trial.status),
        };
        (text, c.contenders.len() > 1 && fewest[m][p])
    };
    let row = |(p, case): (usize, &Case)| Row {
        name: clean(&case.name, NAME),
        unknowns: case.unknowns,
        minimum: case.minimum.clone(),
        cells: (0..c.contenders.len()).map(|m| cell(p, m)).collect(),
    };
    c.problems.iter().enumerate().map(row).collect()
}

/// By method: the problems that ended elsewhere, with status and value.
fn failures(c: &Comparison) -> Vec<(String, Vec<String>)> {
    let of = |m: &Contender| {
        let missed = m.trials.iter().zip(&c.problems);
        let missed = missed.filter(|(t, _)| t.evaluations.is_none() && !t.is_local);
        let text = |(t, case): (&Trial, &Case)| {
            let value = t.value.map_or_else(|| number(f64::NAN), precise);
            format!(
                "{}: {}, F = {value}, known minimum {}",
                clean(&case.name, NAME),
                words(&t.status),
                case.minimum
            )
        };
        (clean(&m.name, NAME), missed.map(text).collect::<Vec<_>>())
    };
    let all = c.contenders.iter().map(of);
    all.filter(|(_, missed)| !missed.is_empty()).collect()
}

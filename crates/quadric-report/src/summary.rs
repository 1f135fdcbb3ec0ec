//! The race in one or two sentences, computed from its numbers.

use crate::format::{clean, list, number, ratio, seconds, threshold};
use crate::table::thresholds;
use crate::{Family, Report, Run};

/// Names in sentences are short.
const NAME: usize = 40;

/// Below this, a relative suboptimality is rounding.
pub(crate) const FLOOR: f64 = 1e-16;

/// Who reached what first, in plain words; also true when a method, or every method, never gets there.
///
/// It speaks of a relative suboptimality of 10⁻⁸ if any run gets there, otherwise of the smallest one that is reached.
pub fn summary(report: &Report) -> String {
    if report.runs.is_empty() {
        return "No run was recorded.".to_owned();
    }
    let targets = thresholds(report);
    let reached: Vec<f64> = targets
        .iter()
        .copied()
        .filter(|&t| report.runs.iter().any(|r| reach(r, t).is_some()))
        .collect();
    let smallest = reached.iter().copied().reduce(f64::min);
    match smallest {
        Some(smallest) => {
            let lead = if reached.contains(&1e-8) {
                1e-8
            } else {
                smallest
            };
            let mut text = race(report, lead);
            if let Some(tail) = tail(report, &targets, lead) {
                text.push(' ');
                text.push_str(&tail);
            }
            text
        }
        None => nobody(report, &targets).unwrap_or_else(|| without_reference(report)),
    }
}

fn name(run: &Run) -> String {
    clean(&run.method, NAME)
}

/// Seconds to `target`.
fn reach(run: &Run, target: f64) -> Option<f64> {
    let hit = run.time_to.iter().find(|(t, _)| *t == target);
    hit.and_then(|(_, s)| *s).filter(|s| s.is_finite())
}

/// The smallest relative suboptimality of a trace.
fn closest(run: &Run) -> Option<f64> {
    let values = run.points.iter().filter_map(|p| p.suboptimality);
    values
        .filter(|v| v.is_finite())
        .reduce(f64::min)
        .map(|v| v.max(FLOOR))
}

/// The fastest of `runs` to `target`; the first of equals.
fn fastest<'a>(runs: &[&'a Run], target: f64) -> Option<(&'a Run, f64)> {
    let times = runs.iter().filter_map(|&r| Some((r, reach(r, target)?)));
    times.reduce(|best, next| if next.1 < best.1 { next } else { best })
}

/// The run that comes nearest to the optimum.
fn nearest<'a>(runs: &[&'a Run]) -> Option<(&'a Run, f64)> {
    let values = runs.iter().filter_map(|&r| Some((r, closest(r)?)));
    values.reduce(|best, next| if next.1 < best.1 { next } else { best })
}

/// The winner at `target` and how far behind the other kind of method is.
fn race(report: &Report, target: f64) -> String {
    let all: Vec<&Run> = report.runs.iter().collect();
    let (winner, time) =
        fastest(&all, target).expect("the caller chose a target that some run reaches");
    let lead = format!(
        "{} reaches {} in {}",
        name(winner),
        threshold(target),
        seconds(time)
    );
    let (rivals, kind, article) = rivals(&all, winner);
    if rivals.is_empty() {
        return format!(
            "{lead}; the run ends {} after {} iterations and {}.",
            words(&winner.status),
            winner.iterations,
            seconds(winner.seconds)
        );
    }
    match fastest(&rivals, target) {
        Some((rival, later)) => {
            let other = format!("{} ({}, {})", kind, name(rival), seconds(later));
            if time > 0.0 && later / time >= 1.05 {
                format!(
                    "{lead}, {} times sooner than {article}{other}.",
                    ratio(later / time)
                )
            } else {
                format!("{lead}, about as soon as {article}{other}.")
            }
        }
        None => {
            let plain = kind.trim_start_matches("best ").trim_start_matches("next ");
            let which = if rivals.len() == 1 {
                format!("{} does not get there", name(rivals[0]))
            } else if plain == "method" {
                "no other method gets there".to_owned()
            } else {
                format!("no {plain} gets there")
            };
            match nearest(&rivals) {
                Some((rival, value)) if rivals.len() == 1 => format!(
                    "{lead}; {which}: it is at {} after {}.",
                    number(value),
                    seconds(rival.seconds)
                ),
                Some((rival, value)) => format!(
                    "{lead}; {which}: the closest, {}, is at {} after {}.",
                    name(rival),
                    number(value),
                    seconds(rival.seconds)
                ),
                None => format!("{lead}; {which}."),
            }
        }
    }
}

/// Whom the winner is compared with: the methods of the other kind if there are any, otherwise all others.
fn rivals<'a>(all: &[&'a Run], winner: &Run) -> (Vec<&'a Run>, String, &'static str) {
    let second = |r: &Run| r.family == Family::SecondOrder;
    let other: Vec<&Run> = all
        .iter()
        .copied()
        .filter(|r| second(r) != second(winner))
        .collect();
    if other.is_empty() {
        let rest = all
            .iter()
            .copied()
            .filter(|r| !std::ptr::eq(*r, winner))
            .collect();
        return (rest, "next method".to_owned(), "the ");
    }
    let mut families: Vec<Family> = other.iter().map(|r| r.family).collect();
    families.sort_unstable();
    families.dedup();
    let words: Vec<&str> = families.iter().map(|f| f.name()).collect();
    (other, format!("best {} method", words.join(" or ")), "the ")
}

/// Who gets all the way to the smallest threshold.
fn tail(report: &Report, targets: &[f64], lead: f64) -> Option<String> {
    let last = targets.iter().copied().reduce(f64::min)?;
    if last >= lead || report.runs.len() < 2 {
        return None;
    }
    let there: Vec<String> = report
        .runs
        .iter()
        .filter(|r| reach(r, last).is_some())
        .map(name)
        .collect();
    let goal = threshold(last);
    Some(match there.len() {
        0 => format!("None gets down to {goal}."),
        n if n == report.runs.len() => format!("All {n} get down to {goal}."),
        n if n > 4 => format!("{n} of {} get down to {goal}.", report.runs.len()),
        1 => format!("Only {} gets down to {goal}.", there[0]),
        _ => format!("Only {} get down to {goal}.", list(&there)),
    })
}

/// No run reaches any threshold, but the optimum is known.
fn nobody(report: &Report, targets: &[f64]) -> Option<String> {
    let all: Vec<&Run> = report.runs.iter().collect();
    let (run, value) = nearest(&all)?;
    let end = format!(
        "{} after {} ({})",
        number(value),
        seconds(run.seconds),
        words(&run.status)
    );
    let largest = targets.iter().copied().reduce(f64::max);
    Some(match (largest, all.len()) {
        (Some(t), 1) => format!(
            "{} does not reach {}: it is at {end}.",
            name(run),
            threshold(t)
        ),
        (Some(t), _) => format!(
            "No method reaches {}; the closest, {}, is at {end}.",
            threshold(t),
            name(run)
        ),
        (None, 1) => format!("{} is at {end}.", name(run)),
        (None, _) => format!("{} comes closest to the optimum: {end}.", name(run)),
    })
}

/// The optimum is not known: who says that it converged.
fn without_reference(report: &Report) -> String {
    if let [run] = report.runs.as_slice() {
        let proof = run.certificate.as_ref().map_or_else(String::new, |(k, v)| {
            format!(" ({}: {})", words(&clean(k, NAME)), number(*v))
        });
        return format!(
            "{} ends {} after {} iterations and {}{proof}.",
            name(run),
            words(&run.status),
            run.iterations,
            seconds(run.seconds)
        );
    }
    let done: Vec<&Run> = report
        .runs
        .iter()
        .filter(|r| r.status == "converged")
        .collect();
    let first = done
        .iter()
        .copied()
        .reduce(|a, b| if b.seconds < a.seconds { b } else { a });
    match first {
        None => format!("None of {} methods converges.", report.runs.len()),
        Some(run) => format!(
            "{} of {} methods converge, {} first: {}.",
            done.len(),
            report.runs.len(),
            name(run),
            seconds(run.seconds)
        ),
    }
}

/// `max_iterations` as words.
pub(crate) fn words(status: &str) -> String {
    clean(status, NAME).replace('_', " ")
}

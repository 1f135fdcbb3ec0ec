//! An analysis in plain sentences, computed from its numbers.

use super::shapes::{condition, nearest};
use super::{Curvature, Density, Eigenvalue, Estimate, Layer, MATRICES, Spectrum};
use crate::format::{clean, list, measured, number, number_raised};

/// Names in sentences are short.
const NAME: usize = 40;
/// A noise scale of so many times the number of examples means that there is no gradient.
const STILL: f64 = 1e4;
/// Densities above this share of the peak say how sure the density is.
const SEEN: f64 = 0.01;
/// Eigenvalues within this share of the largest one count as near zero.
const NEAR: f64 = 0.01;

/// What an analysis says, one finding a sentence or two, the most important first: the sharpest directions and the largest
/// stable step, whether there are negative directions, where the other eigenvalues are, which layers are sharp, and how
/// sure the numbers are.
pub fn findings(c: &Curvature) -> Vec<String> {
    let mut all = Vec::new();
    if let Some((i, matrix)) = c.main() {
        let name = MATRICES[i].1;
        all.extend(sharpest(i, matrix));
        if i == 0 {
            all.extend(negative(matrix));
        }
        all.extend(bulk(matrix));
        all.extend(matrix.density.as_ref().and_then(|d| band(name, d)));
        all.extend(layers(name, matrix));
        all.extend(trace(name, matrix));
        all.extend(condition(name, matrix));
        all.extend(nearest(name, matrix, c.parameters));
    } else {
        all.push("No matrix was analysed.".to_owned());
    }
    all.extend(certainty(c));
    if let Some(share) = c.gradient_alignment {
        let share = percent(share);
        all.push(format!(
            "{share} of the gradient, by its squared length, lies in the span of the top eigenvectors."
        ));
    }
    if let Some(scale) = &c.noise_scale {
        all.push(noise(scale, c.examples));
    }
    if let Some(scale) = c.hessian_noise_scale.filter(|_| !is_still(c)) {
        let scale = spelled(&scale);
        all.push(format!(
            "Where the Hessian says how much each direction matters, the noise scale is {scale}."
        ));
    }
    all
}

/// An eigenvalue and its residual.
pub(super) fn with_error(e: &Eigenvalue) -> String {
    measured(e.value, e.residual, number_raised)
}

/// Whether the gradient is next to nothing beside that of a single example.
fn is_still(c: &Curvature) -> bool {
    let far = STILL * c.examples as f64;
    c.noise_scale.is_some_and(|scale| scale.value > far)
}

/// What the noise scale says.
fn noise(scale: &Estimate, examples: u64) -> String {
    if scale.value > STILL * examples as f64 {
        let scale = number_raised(scale.value);
        return format!(
            "The gradient is next to nothing beside those of single examples, as at a minimum: the noise scale there, {scale}, \
             says nothing about batches."
        );
    }
    let scale = spelled(scale);
    format!(
        "The noise scale is {scale}: the mean gradient of a batch of about that many examples has as much noise as signal, and \
         larger batches gain little."
    )
}

/// An estimate and its interval.
pub(super) fn spelled(e: &Estimate) -> String {
    let value = number_raised(e.value);
    if e.level >= 1.0 {
        return value;
    }
    let (low, high) = (number_raised(e.low), number_raised(e.high));
    format!("{value} ({} confidence: {low} to {high})", percent(e.level))
}

/// An accuracy in percent.
pub(super) fn accuracy(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A share in percent.
pub(super) fn percent(share: f64) -> String {
    // An empty sum is -0.
    let percent = 100.0 * share + 0.0;
    if percent != 0.0 && percent.abs() < 0.1 {
        return format!("{} %", number(percent));
    }
    if percent.abs() < 9.95 || (percent > 99.0 && percent < 99.95) {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// The sharpest directions; the Hessian also bounds the steps of gradient descent.
fn sharpest(kind: usize, matrix: &Spectrum) -> Option<String> {
    let (name, first) = (MATRICES[kind].1, matrix.top.first()?);
    let value = with_error(first);
    let Some(step) = matrix.largest_step() else {
        return Some(format!(
            "No direction of positive curvature was found: the largest eigenvalue of the {name} is {value}."
        ));
    };
    let doubt = if first.converged {
        ""
    } else {
        " (not converged)"
    };
    let stable = match kind {
        0 => format!(
            "; steps of gradient descent up to 2/λ₁ = {} are stable along it",
            number_raised(step)
        ),
        _ => String::new(),
    };
    let mut text =
        format!("The sharpest direction of the {name} has curvature {value}{doubt}{stable}.");
    let next: Vec<String> = matrix.top[1..]
        .iter()
        .take(4)
        .map(|e| number_raised(e.value))
        .collect();
    match &next[..] {
        [] => {}
        [only] => text.push_str(&format!(" The next curvature is {only}.")),
        _ => text.push_str(&format!(" The next curvatures are {}.", list(&next))),
    }
    let sum: f64 = matrix.top.iter().map(|e| e.value).sum();
    let trace = matrix.trace.filter(|t| t.low > 0.0 && sum <= t.value);
    if let Some(trace) = trace.filter(|_| matrix.top.iter().all(|e| e.converged && e.value > 0.0)) {
        let (count, share) = (matrix.top.len(), percent(sum / trace.value));
        let words = match count {
            1 => "It makes".to_owned(),
            _ => format!("The {count} largest make"),
        };
        text.push_str(&format!(" {words} up {share} of the trace."));
    }
    Some(text)
}

/// Whether there are directions along which the loss curves down.
fn negative(matrix: &Spectrum) -> Option<String> {
    let least = matrix.bottom.first()?;
    let value = with_error(least);
    let doubt = match least.converged {
        true => "",
        false => "; it has not converged, and the true one may be smaller",
    };
    if least.value + least.residual < 0.0 {
        let below = matrix
            .bottom
            .iter()
            .filter(|e| e.value + e.residual < 0.0)
            .count();
        let count = match matrix.bottom.len() {
            1 => String::new(),
            all if all == below => {
                format!(", and all {all} smallest that were computed are below zero")
            }
            all => format!(", and {below} of the {all} smallest that were computed are below zero"),
        };
        let top = matrix.top.first().filter(|e| e.value > 0.0);
        let size = top.map_or_else(String::new, |top| {
            format!(
                ", {} of the largest in size",
                percent(-least.value / top.value)
            )
        });
        return Some(format!(
            "There are negative directions: the smallest eigenvalue is {value}{size}{count}{doubt}."
        ));
    }
    if least.value - least.residual > 0.0 {
        return Some(format!(
            "There are no negative directions: the smallest eigenvalue is {value}{doubt}."
        ));
    }
    Some(format!(
        "Whether there are negative directions is open: the smallest eigenvalue is {value}, which includes zero{doubt}."
    ))
}

/// Where the eigenvalues are that nobody computes one by one.
fn bulk(matrix: &Spectrum) -> Option<String> {
    let density = matrix.density.as_ref()?;
    let top = matrix
        .top
        .first()
        .map(|e| e.value)
        .into_iter()
        .chain(density.nodes.iter().copied());
    let largest = top.fold(0.0f64, f64::max);
    let share = |keep: &dyn Fn(f64) -> bool| -> f64 {
        let kept = density
            .nodes
            .iter()
            .zip(&density.weights)
            .filter(|(node, _)| keep(**node));
        kept.map(|(_, weight)| weight).sum()
    };
    if largest <= 0.0 || density.nodes.is_empty() {
        return None;
    }
    let edge = NEAR * largest;
    let near = share(&|v| v.abs() <= edge).min(1.0);
    let (above, below) = (
        percent(share(&|v| v > edge)),
        percent(share(&|v| v < -edge)),
    );
    let (near, sure) = match density.near_zero {
        Some(e) if e.level < 1.0 => {
            let [low, high, level] = [e.low, e.high, e.level].map(percent);
            let sure = format!("; between {low} and {high} with {level} confidence");
            (percent(e.value), sure)
        }
        Some(e) => (percent(e.value), String::new()),
        None => (percent(near), String::new()),
    };
    let about = match density.level >= 1.0 {
        true => "",
        false => "About ",
    };
    Some(format!(
        "{about}{near} of all eigenvalues are near zero (within 1 % of the largest{sure}), {above} are above and {below} below."
    ))
}

/// How sure a density is: its band in words, where the density is high enough to be seen.
fn band(name: &str, density: &Density) -> Option<String> {
    if density.level >= 1.0 || density.starts == 0 {
        return None;
    }
    let (starts, steps) = (density.starts, density.steps);
    let how = match starts {
        1 => format!("a single random start of {steps} Lanczos steps"),
        _ => format!("{starts} random starts of {steps} Lanczos steps each"),
    };
    let peak = density.pdf.iter().copied().fold(0.0, f64::max);
    let places = density
        .pdf
        .iter()
        .zip(density.low.iter().zip(&density.high));
    let seen = places.filter(|(v, _)| **v > SEEN * peak);
    let mut errors: Vec<f64> = seen
        .map(|(v, (low, high))| (high - v).max(v - low) / v)
        .collect();
    errors.sort_by(f64::total_cmp);
    let (Some(middle), Some(worst)) = (errors.get(errors.len() / 2), errors.last()) else {
        return Some(format!(
            "The density of the {name} is estimated from {how}; nothing is known of its error."
        ));
    };
    let (level, middle, worst) = (percent(density.level), percent(*middle), percent(*worst));
    Some(format!(
        "The density of the {name} is estimated from {how}: at each place its band holds the smoothed density with {level} confidence, and where \
         that is above a hundredth of its peak the band is ±{middle} of it in the median and ±{worst} at worst."
    ))
}

/// The layers by trace, the largest first.
pub(super) fn by_trace(matrix: &Spectrum) -> Vec<&Layer> {
    let mut layers: Vec<&Layer> = matrix.layers.iter().collect();
    layers.sort_by(|a, b| b.trace.total_cmp(&a.trace));
    layers
}

fn layers(name: &str, matrix: &Spectrum) -> Option<String> {
    let layers = by_trace(matrix);
    let [first, rest @ ..] = &layers[..] else {
        return None;
    };
    let second = rest.first()?;
    let total: f64 = layers.iter().map(|l| l.trace).sum();
    let is_share = layers.iter().all(|l| l.trace >= 0.0) && total > 0.0;
    let spelled = |l: &&Layer| {
        let size = match is_share {
            true => format!("{} of the trace", percent(l.trace / total)),
            false => format!("trace {}", number_raised(l.trace)),
        };
        format!("{} ({size})", clean(&l.name, NAME))
    };
    let names: Vec<String> = layers.iter().take(3).map(spelled).collect();
    let doubt = match first.low <= second.high {
        true => " (the intervals of the first two overlap, so their order is not certain)",
        false => "",
    };
    let mean = |l: &Layer| l.trace / l.parameters.max(1) as f64;
    let dense = layers.iter().max_by(|a, b| mean(a).total_cmp(&mean(b)))?;
    Some(format!(
        "The layers with the most curvature in the {name} are {}{doubt}; per parameter it is {}.",
        list(&names),
        clean(&dense.name, NAME)
    ))
}

fn trace(name: &str, matrix: &Spectrum) -> Option<String> {
    let t = matrix.trace?;
    let value = number_raised(t.value);
    if t.level >= 1.0 {
        return Some(format!(
            "The trace of the {name} is {value}, which is exact."
        ));
    }
    let (low, high, level) = (
        number_raised(t.low),
        number_raised(t.high),
        percent(t.level),
    );
    let counted = |count: u64, one: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {one}s")),
    };
    let work = [counted(t.products, "product"), counted(t.draws, "draw")];
    let work: Vec<String> = work.into_iter().flatten().collect();
    Some(format!(
        "The trace of the {name} is {value}, with {level} confidence between {low} and {high} ({}).",
        work.join(" and ")
    ))
}

/// How far the eigenvalues can be trusted.
fn certainty(c: &Curvature) -> Option<String> {
    let (open, all) = c
        .matrices()
        .map(|(_, m)| m.open())
        .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    match (open, all) {
        (_, 0) => None,
        (0, _) => Some(format!(
            "All {all} eigenvalues have converged; each error (±) is a measured residual, and an eigenvalue lies within it."
        )),
        _ => Some(format!(
            "{open} of {all} eigenvalues have not converged and are marked: an eigenvalue lies within each error (±), but it \
             need not be the one of that rank."
        )),
    }
}

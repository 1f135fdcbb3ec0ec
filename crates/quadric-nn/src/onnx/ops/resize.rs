//! Images of another size.

use super::super::known::{Answer, Element};
use super::super::site::{self, Site, sizes};
use super::super::value::Value;
use super::{Entry, Results, entry, one};

pub(super) const TABLE: &[Entry] = &[entry(
    "Resize",
    &[
        "antialias",
        "axes",
        "coordinate_transformation_mode",
        "cubic_coeff_a",
        "exclude_outside",
        "extrapolation_value",
        "keep_aspect_ratio_policy",
        "mode",
        "nearest_mode",
    ],
    resize,
)];

/// How one axis changes: its lengths, and how many entries there are for one of before.
#[derive(Clone, Copy)]
struct Change {
    axis: usize,
    from: usize,
    to: usize,
    scale: f64,
}

/// Lengths that are asked for, as they are or with one scale for all axes.
fn from_sizes(s: &Site<'_, '_>, from: &[usize], wanted: &[usize]) -> Answer<Vec<(usize, f64)>> {
    let ratio = |i: usize| wanted[i] as f64 / from[i] as f64;
    let ratios = (0..from.len()).map(ratio);
    let common = match s.text("keep_aspect_ratio_policy", "stretch")? {
        "stretch" => return Ok(wanted.iter().copied().zip(ratios).collect()),
        "not_larger" => ratios.fold(f64::INFINITY, f64::min),
        "not_smaller" => ratios.fold(0.0, f64::max),
        other => return Err(format!("the policy `{other}` is unknown")),
    };
    let rounded = |&n: &usize| ((common * n as f64 + 0.5).floor() as usize, common);
    Ok(from.iter().map(rounded).collect())
}

fn changes(s: &Site<'_, '_>) -> Answer<Vec<Change>> {
    let shape = s.value(0)?.shape();
    let axes: Vec<usize> = match s.ints("axes")? {
        Some(given) => {
            site::axes(given, shape.len())?;
            let all: Answer<_> = given.iter().map(|&a| site::axis(a, shape.len())).collect();
            all?
        }
        None => (0..shape.len()).collect(),
    };
    let from: Vec<usize> = axes.iter().map(|&a| shape[a]).collect();
    let given = |i: usize| s.optional(i).filter(|v| v.shape() != [0]).map(|_| i);
    let lengths = match (given(2), given(3)) {
        (Some(scales), None) => {
            let scales = s.known(scales)?.to_floats();
            let length =
                |(&n, &scale): (&usize, &f64)| ((n as f64 * scale).floor() as usize, scale);
            from.iter().zip(&scales).map(length).collect::<Vec<_>>()
        }
        (None, Some(wanted)) => {
            let wanted = sizes(&s.integers(wanted)?)?;
            if wanted.len() != from.len() {
                return Err(format!("{wanted:?} are no lengths of {} axes", from.len()));
            }
            from_sizes(s, &from, &wanted)?
        }
        _ => return Err("takes either scales or sizes".to_owned()),
    };
    let fits = |&(to, scale): &(usize, f64)| to <= 1 << 16 && scale > 0.0 && scale.is_finite();
    if lengths.len() != from.len() || from.contains(&0) || !lengths.iter().all(fits) {
        return Err(format!(
            "{lengths:?} are no lengths and scales for {from:?}"
        ));
    }
    let pairs = axes.iter().zip(from).zip(lengths);
    let change = |((&axis, from), (to, scale))| Change {
        axis,
        from,
        to,
        scale,
    };
    Ok(pairs.map(change).collect())
}

/// Where along the axis of before each entry lies.
fn places(s: &Site<'_, '_>, c: Change) -> Answer<Vec<f64>> {
    let (from, scale) = (c.from as f64, c.scale);
    // With scales that are no ratios of lengths the axis ends between two entries.
    let exact = from * scale;
    let half = |x: f64| (x + 0.5) / scale - 0.5;
    let mode = s.text("coordinate_transformation_mode", "half_pixel")?;
    let place = |x: f64| {
        Some(match mode {
            "half_pixel" => half(x),
            "half_pixel_symmetric" => {
                let unseen = 1.0 - c.to as f64 / exact;
                from / 2.0 * unseen + half(x)
            }
            "pytorch_half_pixel" if c.to > 1 => half(x),
            "pytorch_half_pixel" => 0.0,
            "align_corners" if exact == 1.0 => 0.0,
            "align_corners" => x * (from - 1.0) / (exact - 1.0),
            "asymmetric" => x / scale,
            _ => return None,
        })
    };
    let all: Option<Vec<f64>> = (0..c.to).map(|x| place(x as f64)).collect();
    all.ok_or_else(|| format!("the coordinates `{mode}` are not supported"))
}

/// Of the entries around a place, from `first` below it on, the weights.
fn weights(s: &Site<'_, '_>, c: Change, place: f64) -> Answer<(i64, Vec<f64>)> {
    let below = place.floor();
    let r = place - below;
    if s.text("mode", "nearest")? == "linear" {
        return Ok((below as i64, vec![1.0 - r, r]));
    }
    let a = s.float("cubic_coeff_a", -0.75)?;
    let near = |d: f64| ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
    let far = |d: f64| ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a;
    let mut weights = vec![far(r + 1.0), near(r), near(1.0 - r), far(2.0 - r)];
    let first = below as i64 - 1;
    if s.flag("exclude_outside", false)? {
        for (i, w) in weights.iter_mut().enumerate() {
            let at = first + i as i64;
            if at < 0 || at >= c.from as i64 {
                *w = 0.0;
            }
        }
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= total);
    }
    Ok((first, weights))
}

/// The number of the entry next to a place.
fn nearest(s: &Site<'_, '_>, place: f64) -> Answer<f64> {
    Ok(match s.text("nearest_mode", "round_prefer_floor")? {
        "round_prefer_floor" => (place - 0.5).ceil(),
        "round_prefer_ceil" => (place + 0.5).floor(),
        "floor" => place.floor(),
        "ceil" => place.ceil(),
        other => return Err(format!("the rounding `{other}` is unknown")),
    })
}

fn along<'t>(s: &Site<'_, 't>, x: &Value<'t>, c: Change) -> Answer<Value<'t>> {
    let (t, places) = (s.tracer(), places(s, c)?);
    // Beyond the ends lies the last entry again.
    let inside = |at: i64| at.clamp(0, c.from as i64 - 1) as usize;
    if s.text("mode", "nearest")? == "nearest" {
        let rows = places.iter().map(|&p| Ok(inside(nearest(s, p)? as i64)));
        let rows: Answer<Vec<usize>> = rows.collect();
        return x.take(t, c.axis, &rows?);
    }
    let taps: Answer<Vec<(i64, Vec<f64>)>> = places.iter().map(|&p| weights(s, c, p)).collect();
    let taps = taps?;
    let behind = vec![1; x.rank() - c.axis - 1];
    let count = taps.first().map_or(0, |t| t.1.len());
    let mut sum = None;
    for k in 0..count {
        let rows: Vec<usize> = taps.iter().map(|t| inside(t.0 + k as i64)).collect();
        let weights: Vec<f64> = taps.iter().map(|t| t.1[k]).collect();
        let weights = t.constant(&weights, [&[c.to][..], &behind].concat());
        let term = x.take(t, c.axis, &rows)?.real(t) * weights;
        sum = Some(sum.map_or(term, |s| s + term));
    }
    let sum = sum.ok_or("the result has no entries")?;
    Ok(Value::from(sum))
}

fn resize<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let mut x = s.value(0)?.clone();
    let mode = s.text("mode", "nearest")?;
    if !["nearest", "linear", "cubic"].contains(&mode) {
        return Err(format!("the mode `{mode}` is unknown"));
    }
    if s.flag("antialias", false)? {
        return Err("smoothing before images become smaller is not supported".to_owned());
    }
    if mode != "nearest" && x.element() != Element::Float {
        return Err("means of entries are only taken of real numbers".to_owned());
    }
    for change in changes(s)? {
        if change.from != change.to || change.scale != 1.0 {
            x = along(s, &x, change)?;
        }
    }
    one(x)
}

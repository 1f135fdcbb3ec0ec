//! The same entries under another shape, in another order, repeated or joined.

use super::super::known::{Answer, small};
use super::super::site::{self, Site, sizes};
use super::super::value::{Value, common_shape};
use super::{Entry, Results, entry, one};

pub(super) const TABLE: &[Entry] = &[
    entry("Identity", &[], |s| one(s.value(0)?.clone())),
    entry("Reshape", &["allowzero"], reshape),
    entry("Flatten", &["axis"], flatten),
    entry("Transpose", &["perm"], transpose),
    entry("Squeeze", &["axes"], squeeze),
    entry("Unsqueeze", &["axes"], unsqueeze),
    entry("Expand", &[], expand),
    entry("Tile", &[], tile),
    entry("Concat", &["axis"], concat),
    entry("DepthToSpace", &["blocksize", "mode"], depth_to_space),
    entry("SpaceToDepth", &["blocksize", "mode"], space_to_depth),
];

/// Number of entries.
pub(super) fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}

fn reshape<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let value = s.value(0)?;
    let (own, given) = (value.shape(), s.integers(1)?);
    let zero_is_zero = s.flag("allowzero", false)?;
    let mut shape = Vec::new();
    let mut open = None;
    for (i, &d) in given.iter().enumerate() {
        shape.push(match d {
            0 if !zero_is_zero => *own.get(i).ok_or_else(|| {
                format!("{own:?} has no axis {i} whose length {given:?} could copy")
            })?,
            -1 if open.replace(i).is_some() => {
                return Err(format!("{given:?} leaves two axes open"));
            }
            -1 => 1,
            d => usize::try_from(d).map_err(|_| format!("{given:?} is no shape"))?,
        });
    }
    if let Some(i) = open {
        let rest = shape.iter().fold(1usize, |n, &d| n.saturating_mul(d));
        let total = count(&own);
        if rest == 0 || !total.is_multiple_of(rest) {
            return Err(format!("{own:?} cannot become {given:?}"));
        }
        shape[i] = total / rest;
    }
    one(value.reshape(&shape)?)
}

fn flatten<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let value = s.value(0)?;
    let shape = value.shape();
    // From the start every place between axes can be meant, from the end only one before an axis.
    let at = match s.int("axis", 1)? {
        axis if axis < 0 => site::axis(axis, shape.len())?,
        axis => site::axis(axis, shape.len() + 1)?,
    };
    one(value.reshape(&[count(&shape[..at]), count(&shape[at..])])?)
}

fn transpose<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let value = s.value(0)?;
    let rank = value.rank();
    let order = match s.ints("perm")? {
        None => (0..rank).rev().collect(),
        Some(perm) => sizes(perm)?,
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..rank) {
        return Err(format!("{order:?} is no order of {rank} axes"));
    }
    one(value.permute(&order)?)
}

fn squeeze<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let value = s.value(0)?;
    let shape = value.shape();
    let gone = match s.axes_given(1)? {
        Some(given) => site::axes(&given, shape.len())?,
        None => (0..shape.len()).filter(|&a| shape[a] == 1).collect(),
    };
    if let Some(a) = gone.iter().find(|&&a| shape[a] != 1) {
        return Err(format!("axis {a} of {shape:?} does not have length 1"));
    }
    let kept = (0..shape.len()).filter(|a| !gone.contains(a));
    one(value.reshape(&kept.map(|a| shape[a]).collect::<Vec<_>>())?)
}

fn unsqueeze<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let value = s.value(0)?;
    let given = s.axes_given(1)?.ok_or("the axes are missing")?;
    let mut shape = value.shape();
    for at in site::axes(&given, shape.len() + given.len())? {
        shape.insert(at, 1);
    }
    one(value.reshape(&shape)?)
}

fn expand<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let value = s.value(0)?;
    let shape = common_shape(&value.shape(), &sizes(&s.integers(1)?)?)?;
    one(value.broadcast(s.tracer(), &shape)?)
}

fn tile<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let value = s.value(0)?;
    let (shape, repeats) = (value.shape(), sizes(&s.integers(1)?)?);
    if repeats.len() != shape.len() {
        return Err(format!("{shape:?} cannot be repeated {repeats:?} times"));
    }
    let pairs = shape.iter().zip(&repeats);
    let long = |(&n, &r): (&usize, &usize)| n.checked_mul(r).ok_or("the result is too large");
    let tiled: std::result::Result<Vec<usize>, &str> = pairs.clone().map(long).collect();
    let single: Vec<usize> = shape.iter().flat_map(|&n| [1, n]).collect();
    let wide: Vec<usize> = pairs.flat_map(|(&n, &r)| [r, n]).collect();
    let repeated = value.reshape(&single)?.broadcast(s.tracer(), &wide)?;
    one(repeated.reshape(&tiled?)?)
}

fn concat<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let parts = s.all()?;
    let shape = parts[0].shape();
    let axis = s.given_int("axis")?.ok_or("attribute `axis` is missing")?;
    let axis = site::axis(axis, shape.len())?;
    for part in &parts {
        let other = part.shape();
        let fits = other.len() == shape.len()
            && (0..shape.len()).all(|a| a == axis || other[a] == shape[a]);
        if !fits {
            return Err(format!(
                "{shape:?} and {other:?} cannot be joined along axis {axis}"
            ));
        }
    }
    one(Value::concat(s.tracer(), &parts, axis)?)
}

/// Images `(n, c, h, w)` and the size of a block.
fn blocks<'t>(s: &Site<'_, 't>) -> Answer<([usize; 4], usize)> {
    let shape = s.value(0)?.shape();
    let image = <[usize; 4]>::try_from(&shape[..]);
    let image = image.map_err(|_| format!("takes images, not {shape:?}"))?;
    let block = s
        .given_int("blocksize")?
        .ok_or("attribute `blocksize` is missing")?;
    let block = usize::try_from(block)
        .ok()
        .filter(|&b| b > 0 && small(&[b, b]).is_ok());
    Ok((image, block.ok_or("the block size must be positive")?))
}

fn is_columns_first(s: &Site<'_, '_>) -> Answer<bool> {
    match s.text("mode", "DCR")? {
        "DCR" => Ok(false),
        "CRD" => Ok(true),
        other => Err(format!("the mode `{other}` is unknown")),
    }
}

fn depth_to_space<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let ([n, c, h, w], b) = blocks(s)?;
    if c % (b * b) != 0 {
        return Err(format!("{c} channels do not fill blocks of {b} x {b}"));
    }
    let inner = c / (b * b);
    let value = s.value(0)?;
    let split = if is_columns_first(s)? {
        value
            .reshape(&[n, inner, b, b, h, w])?
            .permute(&[0, 1, 4, 2, 5, 3])?
    } else {
        value
            .reshape(&[n, b, b, inner, h, w])?
            .permute(&[0, 3, 4, 1, 5, 2])?
    };
    one(split.reshape(&[n, inner, h * b, w * b])?)
}

fn space_to_depth<'t>(s: &Site<'_, 't>) -> Results<'t> {
    let ([n, c, h, w], b) = blocks(s)?;
    if h % b != 0 || w % b != 0 {
        return Err(format!(
            "images {h} x {w} do not divide into blocks of {b} x {b}"
        ));
    }
    let split = s.value(0)?.reshape(&[n, c, h / b, b, w / b, b])?;
    let order = if is_columns_first(s)? {
        [0, 1, 3, 5, 2, 4]
    } else {
        [0, 3, 5, 1, 2, 4]
    };
    one(split
        .permute(&order)?
        .reshape(&[n, c * b * b, h / b, w / b])?)
}

//! Inputs of a graph as ports of a network: which axis holds the examples, and how long the others are.

use super::Options;
use super::graph::Id;
use super::known::Element;
use super::proto::{self, data};
use crate::Port;
use quadric_autodiff::Kind;
use quadric_linalg::{Error, ErrorKind, Result};

/// An input of a graph.
pub(super) struct Input {
    pub(super) id: Id,
    pub(super) port: Port,
    pub(super) element: Element,
}

/// The length of an axis, or its name.
#[derive(Clone)]
enum Length {
    Fixed(usize),
    Named(String),
    /// Neither is known; the name is made of that of the input and the number of the axis.
    Unnamed(String),
}

impl Length {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Fixed(_) => None,
            Self::Named(name) | Self::Unnamed(name) => Some(name),
        }
    }
}

fn element(info: &proto::ValueInfo) -> Result<(Element, Vec<Length>)> {
    let name = &info.name;
    let refuse = |why: String| Error::new(ErrorKind::Data, format!("input `{name}` {why}"));
    let tensor = info.of_type.as_ref().and_then(|t| t.tensor.as_ref());
    let tensor = tensor.ok_or_else(|| refuse("is no tensor".to_owned()))?;
    let element = match tensor.data_type {
        data::FLOAT | data::DOUBLE | data::FLOAT16 | data::BFLOAT16 => Element::Float,
        data::INT32 | data::INT64 => Element::Integer,
        data::BOOL => Element::Truth,
        other => {
            return Err(refuse(format!(
                "is of type {other}, which is not supported"
            )));
        }
    };
    let shape = tensor.shape.as_ref();
    let shape = shape.ok_or_else(|| refuse("has no shape".to_owned()))?;
    let mut lengths = Vec::new();
    for (axis, d) in shape.dims.iter().enumerate() {
        lengths.push(match (&d.value, &d.parameter) {
            (Some(n), _) => Length::Fixed(usize::try_from(*n).map_err(|_| {
                let text = format!("input `{name}` has an axis of length {n}");
                Error::new(ErrorKind::Malformed, text)
            })?),
            (None, Some(p)) if !p.is_empty() => Length::Named(p.clone()),
            _ => Length::Unnamed(format!("{name}:{axis}")),
        });
    }
    Ok((element, lengths))
}

/// The axis of examples: where it lies in the first input that has a symbolic one, and its name.
#[derive(Clone, Copy)]
struct Batch<'a> {
    axis: usize,
    name: &'a str,
}

/// The axis of examples of an input: the one that is named as elsewhere, or a symbolic one at the same place.
fn batch_axis(
    name: &str,
    lengths: &[Length],
    batch: Option<Batch<'_>>,
    options: &Options,
) -> Result<usize> {
    let rank = lengths.len();
    if let Some(&axis) = options.batch_axes.get(name) {
        if axis >= rank {
            let text = format!("{axis} for input `{name}`");
            let expected = format!("less than {rank}");
            return Err(Error::argument("batch_axes", text, &expected));
        }
        return Ok(axis);
    }
    let none = |why: &str| {
        let text = format!("input `{name}` {why}, so it has none along which examples lie");
        Error::new(ErrorKind::Data, text).with_hint("`batch_axes` can name one")
    };
    if rank == 0 {
        return Err(none("has no axes"));
    }
    let Some(batch) = batch else {
        return Ok(0);
    };
    let common = lengths.iter().position(|l| l.name() == Some(batch.name));
    let free = |l: &Length| l.name().is_some_and(|n| !options.dims.contains_key(n));
    let beside = || {
        lengths
            .get(batch.axis)
            .is_some_and(free)
            .then_some(batch.axis)
    };
    let text = format!("has no axis `{}`", batch.name);
    common.or_else(beside).ok_or_else(|| none(&text))
}

/// What the file says of each input: its name, the kind of its entries, the lengths of its axes.
type Read<'a> = (&'a String, Element, Vec<Length>);

/// Refuses options about inputs and axes that do not exist.
fn check_options(read: &[Read<'_>], options: &Options) -> Result<()> {
    let no_input = |n: &&String| !read.iter().any(|r| r.0 == *n);
    if let Some(name) = options.batch_axes.keys().find(no_input) {
        let text = format!("given for `{name}`");
        return Err(Error::argument("batch_axes", text, "the names of inputs"));
    }
    let every = || read.iter().flat_map(|r| &r.2);
    let no_axis = |n: &&String| !every().any(|l| l.name() == Some(n.as_str()));
    if let Some(name) = options.dims.keys().find(no_axis) {
        let text = format!("given for `{name}`");
        return Err(Error::argument("dims", text, "names of axes of inputs"));
    }
    Ok(())
}

/// The inputs of a graph.
///
/// # Errors
///
/// If one has no axis for examples, or the length of another axis is not known.
pub(super) fn inputs(
    infos: &[&proto::ValueInfo],
    options: &Options,
    mut define: impl FnMut(&str) -> Result<Id>,
) -> Result<Vec<Input>> {
    let mut read: Vec<Read<'_>> = Vec::new();
    for info in infos {
        let (element, lengths) = element(info)?;
        read.push((&info.name, element, lengths));
    }
    check_options(&read, options)?;
    let free = |l: &Length| l.name().is_some_and(|n| !options.dims.contains_key(n));
    let batch = read.iter().find_map(|(_, _, lengths)| {
        let axis = lengths.iter().position(free)?;
        let name = lengths[axis].name()?;
        Some(Batch { axis, name })
    });
    let mut missing = std::collections::BTreeSet::new();
    let mut inputs = Vec::new();
    for (name, element, lengths) in &read {
        let axis = batch_axis(name, lengths, batch, options)?;
        let mut shape = Vec::new();
        for (i, length) in lengths.iter().enumerate() {
            match length {
                _ if i == axis => {}
                Length::Fixed(n) => shape.push(*n),
                Length::Named(n) | Length::Unnamed(n) => match options.dims.get(n) {
                    Some(&size) => shape.push(size),
                    None => drop(missing.insert(format!("`{n}`"))),
                },
            }
        }
        let kind = match element {
            Element::Float => Kind::Float,
            Element::Integer | Element::Truth => Kind::Index,
        };
        let (name, element) = ((*name).clone(), *element);
        let id = define(&name)?;
        let port = Port {
            name,
            kind,
            shape,
            axis,
        };
        inputs.push(Input { id, port, element });
    }
    if missing.is_empty() {
        return Ok(inputs);
    }
    let missing: Vec<String> = missing.into_iter().collect();
    let text = format!("lengths of axes that are not known: {}", missing.join(", "));
    let hint = "`dims` gives them by name; the first symbolic axis is that of the examples";
    Err(Error::new(ErrorKind::Data, text).with_hint(hint))
}

//! `quadric model`: networks in ONNX files.

mod check;
mod export;

use crate::args::{Global, ModelCommand, ModelFileArgs, ModelRunArgs, NetworkArgs};
use crate::console;
use quadric::autodiff::{Array, Kind};
use quadric::core::{Error, ErrorKind, Overwrite, Result, write_atomically};
use quadric::data::{Limits, NpyArray, encode_npy, read_npy};
use quadric::nn::{Mode, Network, Port, onnx};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn run(a: &NetworkArgs, global: &Global) -> Result<ExitCode> {
    match &a.command {
        ModelCommand::Inspect(a) => inspect(a, global)?,
        ModelCommand::Run(a) => outputs(a, global)?,
        ModelCommand::Check(a) => check::run(a, global)?,
        ModelCommand::Export(a) => export::run(a, global)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn load(a: &ModelFileArgs) -> Result<Network> {
    let mut options = onnx::Options {
        external_data: a.external_data,
        ..onnx::Options::default()
    };
    for dim in &a.dim {
        let pair = dim.split_once('=');
        let pair = pair.and_then(|(name, size)| Some((name, size.parse().ok()?)));
        let Some((name, size)) = pair else {
            return Err(Error::argument(
                "dim",
                dim,
                "a name and a number, as `time=64`",
            ));
        };
        options.dims.insert(name.to_owned(), size);
    }
    onnx::read(&a.model, &options)
}

/// Lengths of axes as they are written, with `n` for the number of examples.
fn written(shape: &[usize], axis: usize) -> String {
    let mut lengths: Vec<String> = shape.iter().map(usize::to_string).collect();
    lengths.insert(axis.min(lengths.len()), "n".to_owned());
    format!("({})", lengths.join(", "))
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Float => "real",
        Kind::Index => "index",
    }
}

fn inspect(a: &ModelFileArgs, global: &Global) -> Result<()> {
    let network = load(a)?;
    let program = network.program(1, Mode::Evaluate)?;
    let layout = network.layout();
    let port = |p: &Port| json!({ "name": p.name, "kind": kind(p.kind), "shape": p.shape, "axis": p.axis });
    let inputs: Vec<Value> = network.inputs().iter().map(port).collect();
    let shapes = (0..program.outputs()).map(|i| program.output_type(i).shape.to_vec());
    let outputs: Vec<Value> = shapes.map(|s| json!({ "shape": s.get(1..) })).collect();
    let pieces = layout.segments().iter();
    let pieces: Vec<Value> = pieces
        .map(|s| json!({ "name": s.name, "shape": s.shape, "parameters": s.len() }))
        .collect();
    let document = json!({
        "parameters": layout.len(),
        "buffers": network.buffers().len(),
        "inputs": inputs,
        "outputs": outputs,
        "operations": program.flops(),
        "layers": pieces,
    });
    if global.json {
        return console::print_json(&document);
    }
    let mut text = String::new();
    for p in network.inputs() {
        let shape = written(&p.shape, p.axis);
        let name = console::printable(&p.name);
        let _ = writeln!(text, "input       {name}  {} {shape}", kind(p.kind));
    }
    for i in 0..program.outputs() {
        let shape = written(program.output_type(i).shape.get(1..).unwrap_or_default(), 0);
        let _ = writeln!(text, "output      {shape}");
    }
    let _ = writeln!(text, "parameters  {}", layout.len());
    let _ = writeln!(text, "buffers     {}", network.buffers().len());
    let _ = writeln!(text, "operations  {} for one example\n", program.flops());
    let _ = writeln!(
        text,
        "{:<48} {:>20} {:>12}",
        "parameter", "shape", "entries"
    );
    for s in layout.segments() {
        let name = console::printable(&s.name);
        let shape = format!("{:?}", s.shape);
        let _ = writeln!(text, "{name:<48} {shape:>20} {:>12}", s.len());
    }
    console::print(&text)
}

fn outputs(a: &ModelRunArgs, global: &Global) -> Result<()> {
    let network = load(&a.file)?;
    let (inputs, examples) = arrays(&network, &a.data)?;
    let (parameters, buffers) = (network.initial::<f32>(0), network.initial_buffers::<f32>());
    let all = network.run(&parameters, &buffers, &inputs, examples, a.batch)?;
    let Some(output) = all.get(a.index) else {
        let expected = format!("less than the number of outputs, {}", all.len());
        return Err(Error::argument("index", a.index, &expected));
    };
    let values: Vec<f64> = output.values.iter().map(|&v| f64::from(v)).collect();
    let policy = match a.force {
        true => Overwrite::Replace,
        false => Overwrite::Refuse,
    };
    let bytes = encode_npy(&output.shape, &values);
    write_atomically(&a.output, policy, |file| file.write_all(&bytes))?;
    let (path, shape) = (a.output.display().to_string(), &output.shape);
    if global.json {
        return console::print_json(&json!({ "output": path, "shape": shape }));
    }
    console::print(&format!("{} {shape:?}", console::printable(&path)))
}

/// The inputs of a network from files, in the order of the inputs or as `name=file`, and the number of examples.
fn arrays<T: quadric::linalg::Scalar>(
    network: &Network,
    files: &[String],
) -> Result<(Vec<Array<T>>, usize)> {
    let ports = network.inputs();
    if files.len() != ports.len() {
        let names: Vec<&str> = ports.iter().map(|p| p.name.as_str()).collect();
        let expected = format!("a file for each input: {}", names.join(", "));
        return Err(Error::argument("data", files.len(), &expected));
    }
    let mut examples = None;
    let mut inputs = Vec::new();
    for (i, port) in ports.iter().enumerate() {
        let named = files
            .iter()
            .find_map(|f| f.strip_prefix(&format!("{}=", port.name)));
        let path = named.unwrap_or(&files[i]);
        let array = read_npy(Path::new(path), &Limits::default())?;
        let count = fitting(port, &array, path)?;
        if examples.is_some_and(|n| n != count) {
            let text = format!(
                "{path} has {count} examples, others have {}",
                examples.unwrap_or(0)
            );
            return Err(Error::new(ErrorKind::Shape, text));
        }
        examples = Some(count);
        inputs.push(of_kind(port, &array, path)?);
    }
    Ok((inputs, examples.unwrap_or(0)))
}

/// The number of examples of an array, which has the shape that a port asks for.
fn fitting(port: &Port, array: &NpyArray, path: &str) -> Result<usize> {
    let mut rest = array.shape.clone();
    let has_axis = port.axis < rest.len();
    let count = if has_axis { rest.remove(port.axis) } else { 0 };
    if !has_axis || rest != port.shape {
        let (found, expected) = (&array.shape, written(&port.shape, port.axis));
        let text = format!(
            "{path} has shape {found:?}; the input `{}` is {expected}",
            port.name
        );
        return Err(Error::new(ErrorKind::Shape, text));
    }
    Ok(count)
}

/// Numbers as a port takes them.
fn of_kind<T: quadric::linalg::Scalar>(
    port: &Port,
    array: &NpyArray,
    path: &str,
) -> Result<Array<T>> {
    if port.kind == Kind::Float {
        return Ok(Array::Float(
            array.values.iter().map(|&v| T::of(v)).collect(),
        ));
    }
    let whole = |v: &f64| v.fract() == 0.0 && v.abs() < f64::from(i32::MAX);
    if let Some(i) = array.values.iter().position(|v| !whole(v)) {
        let text = format!("{path}: entry {i} is {}, not an index", array.values[i]);
        return Err(Error::new(ErrorKind::Data, text));
    }
    Ok(Array::Index(
        array.values.iter().map(|&v| v as i32).collect(),
    ))
}

/// The targets of a loss from a file.
fn targets<T: quadric::linalg::Scalar>(
    target: &Port,
    path: &Path,
    examples: usize,
) -> Result<Array<T>> {
    let name = path.display().to_string();
    let mut array = read_npy(path, &Limits::default())?;
    // A column of labels is a list of labels.
    if array.shape.len() == target.shape.len() + 2 && array.shape.last() == Some(&1) {
        array.shape.pop();
    }
    let count = fitting(target, &array, &name)?;
    if count != examples {
        let text = format!("{name} has {count} targets for {examples} examples");
        return Err(Error::new(ErrorKind::Shape, text));
    }
    of_kind(target, &array, &name)
}

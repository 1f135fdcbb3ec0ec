//! `quadric model`: networks in ONNX files.

mod check;
mod export;
pub(crate) mod named;

use crate::args::{Global, ModelCommand, ModelFileArgs, ModelReadArgs, ModelRunArgs, NetworkArgs};
use crate::commands::examples::Opened;
use crate::console;
use quadric::autodiff::Kind;
use quadric::core::{Error, Overwrite, Result, write_atomically};
use quadric::data::npy_header;
use quadric::nn::{Mode, Network, Port, Source, onnx};
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

pub(crate) fn load(path: &Path, a: &ModelReadArgs) -> Result<Network> {
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
    onnx::read(path, &options)
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Float => "real",
        Kind::Index => "index",
    }
}

fn inspect(a: &ModelFileArgs, global: &Global) -> Result<()> {
    let network = load(&a.model, &a.reading)?;
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
        let name = console::printable(&p.name);
        let _ = writeln!(text, "input       {name}  {} {p}", kind(p.kind));
    }
    for i in 0..program.outputs() {
        let shape = program.output_type(i).shape.get(1..).unwrap_or_default();
        let of_one = Port::floats("output", shape.iter().copied());
        let _ = writeln!(text, "output      {of_one}");
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
    let network = load(&a.file.model, &a.file.reading)?;
    let source = Opened::new(&a.examples)?.examples(&network, None)?;
    let (parameters, buffers) = (network.initial::<f32>(0), network.initial_buffers::<f32>());
    let program = network.program(1, Mode::Evaluate)?;
    if a.index >= program.outputs() {
        let expected = format!("less than the number of outputs, {}", program.outputs());
        return Err(Error::argument("index", a.index, &expected));
    }
    let mut shape = program.output_type(a.index).shape.to_vec();
    if let Some(count) = shape.first_mut() {
        *count = Source::<f32>::count(&source);
    }
    let policy = match a.force {
        true => Overwrite::Replace,
        false => Overwrite::Refuse,
    };
    let mut failed = None;
    let written = write_atomically(&a.output, policy, |file| {
        file.write_all(&npy_header(&shape))?;
        let done = network.sweep(
            &parameters,
            &buffers,
            &source,
            None,
            a.examples.batch,
            |outputs, _| {
                let values = outputs[a.index].values.iter().map(|&v| f64::from(v));
                let bytes: Vec<u8> = values.flat_map(f64::to_le_bytes).collect();
                let place = a.output.display();
                file.write_all(&bytes)
                    .map_err(|e| Error::io("write", place, e))
            },
        );
        done.map_err(|e| {
            failed = Some(e);
            std::io::Error::other("the network was not run")
        })
    });
    // What stopped the network says more than that the file was not written.
    if let Some(error) = failed {
        return Err(error);
    }
    written?;
    let path = a.output.display().to_string();
    if global.json {
        return console::print_json(&json!({ "output": path, "shape": shape }));
    }
    console::print(&format!("{} {shape:?}", console::printable(&path)))
}

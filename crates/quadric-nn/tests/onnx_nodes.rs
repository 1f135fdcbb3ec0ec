//! The node tests of the onnx package, see testdata/onnx/nodes.py.

use quadric_autodiff::{Data, Executable};
use quadric_linalg::{Error, Result};
use quadric_nn::Mode;
use quadric_nn::onnx::{self, Options};
use std::collections::BTreeMap;

/// Cases that are refused, with what the error says: a part of the name, and a part of the message.
const REFUSED: &[(&str, &str)] = &[
    ("averagepool_3d", "does not belong to a signal or an image"),
    (
        "convtranspose_3d",
        "does not belong to a signal or an image",
    ),
    ("maxpool_3d", "does not belong to a signal or an image"),
    ("maxpool_2d_uint8", "does not hold real numbers"),
    ("maxpool_with_argmax", "its output 1 is not supported"),
    (
        "training_dropout",
        "of the entries in training is not supported",
    ),
    ("cast", "is NaN; every value must be finite"),
    ("isinf", "is NaN; every value must be finite"),
    ("isnan", "is NaN; every value must be finite"),
    ("mod_float_edge_cases", "is inf; every value must be finite"),
    ("reduce_max_bool_inputs", "takes numbers, not truth values"),
    ("reduce_min_bool_inputs", "takes numbers, not truth values"),
    (
        "reduce_max_empty_set_bool",
        "takes numbers, not truth values",
    ),
    ("_empty_set", "is the largest along"),
];

/// Relative errors of cases whose expected entries are rounded; otherwise 1e-5.
const ROUNDED: &[(&str, f64)] = &[
    ("averagepool_2d_ceil_last_window_starts_on_pad", 1e-3),
    ("fp16", 1e-3),
    ("bfloat16", 1e-2),
    ("float16", 1e-3),
];

/// Bytes that are read from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, n: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(n);
        self.0 = rest;
        front
    }

    fn size(&mut self) -> usize {
        u32::from_le_bytes(self.take(4).try_into().expect("4 bytes")) as usize
    }

    fn text(&mut self) -> &'a [u8] {
        let n = self.size();
        self.take(n)
    }

    fn name(&mut self) -> &'a str {
        std::str::from_utf8(self.text()).expect("a name")
    }
}

struct Output {
    shape: Vec<usize>,
    values: Vec<f64>,
}

fn output(bytes: &mut Bytes<'_>) -> Output {
    let (width, rank) = (bytes.size(), bytes.size());
    let shape: Vec<usize> = (0..rank).map(|_| bytes.size()).collect();
    let read = |b: &[u8]| match width {
        4 => f64::from(f32::from_le_bytes(b.try_into().expect("4 bytes"))),
        _ => f64::from_le_bytes(b.try_into().expect("8 bytes")),
    };
    let entries = bytes.take(shape.iter().product::<usize>() * width);
    let values = entries.chunks(width).map(read).collect();
    Output { shape, values }
}

/// Whether the outputs of a model are the expected ones; an error says why it is refused.
fn run(name: &str, model: &[u8], expected: &[Output]) -> Result<std::result::Result<(), String>> {
    let network = onnx::from_bytes(model, &Options::default())?;
    let training = name.contains("training");
    let mode = if training {
        Mode::Train
    } else {
        Mode::Evaluate
    };
    let program = network.program(1, mode)?;
    let (parameters, buffers) = (network.initial::<f64>(0), network.initial_buffers::<f64>());
    let mut found: Vec<Vec<f64>> = Vec::new();
    for (i, e) in expected.iter().enumerate() {
        let shape = &program.output_type(i).shape[..];
        if shape != e.shape {
            return Ok(Err(format!(
                "output {i} has the shape {shape:?}, not {:?}",
                e.shape
            )));
        }
        found.push(vec![0.0; e.values.len()]);
    }
    let mut outputs: Vec<&mut [f64]> = found.iter_mut().map(|v| &mut v[..]).collect();
    let inputs = [Data::Float(&parameters), Data::Float(&buffers)];
    Executable::<f64>::new(&program)?.run(&inputs, &mut outputs)?;
    let rounded = ROUNDED.iter().find(|(n, _)| name.contains(n));
    let tolerance = rounded.map_or(1e-5, |r| r.1);
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        for (k, (&f, &e)) in f.iter().zip(&e.values).enumerate() {
            let same = f == e || (f.is_nan() && e.is_nan());
            let close = (f - e).abs() <= tolerance * e.abs().max(0.1);
            if !same && !close {
                return Ok(Err(format!("output {i} at {k} is {f}, not {e}")));
            }
        }
    }
    Ok(Ok(()))
}

fn is_expected(name: &str, e: &Error) -> bool {
    let matches = |(n, m): &(&str, &str)| name.contains(n) && e.to_string().contains(m);
    REFUSED.iter().any(matches)
}

#[test]
fn nodes_compute_what_the_onnx_package_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/onnx/nodes.bin");
    let file = std::fs::read(path).expect("a file");
    let mut bytes = Bytes(&file);
    let (mut passed, mut wrong) = (0, Vec::new());
    let mut left_out: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    while !bytes.0.is_empty() {
        let (name, why) = (bytes.name(), bytes.name());
        if !why.is_empty() {
            left_out.entry(why.to_owned()).or_default().push(name);
            continue;
        }
        let model = bytes.text();
        let outputs = (0..bytes.size())
            .map(|_| output(&mut bytes))
            .collect::<Vec<_>>();
        match run(name, model, &outputs) {
            Ok(Ok(())) => passed += 1,
            Ok(Err(message)) => wrong.push(format!("{name}: {message}")),
            Err(e) if is_expected(name, &e) => {
                left_out.entry(e.to_string()).or_default().push(name);
            }
            Err(e) => wrong.push(format!("{name}: {e}")),
        }
    }
    for (why, names) in &left_out {
        println!("left out, {why}: {}", names.join(", "));
    }
    println!("{passed} passed");
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

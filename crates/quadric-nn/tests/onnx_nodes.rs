//! The node tests of the onnx package, see testdata/onnx/nodes.py.

use quadric_autodiff::{Data, Executable, Program};
use quadric_linalg::random::{SeedTree, Stream};
use quadric_linalg::{Error, ErrorKind, Result};
use quadric_nn::onnx::{self, Options};
use quadric_nn::{Call, Mode, Network};
use std::collections::{BTreeMap, BTreeSet};

/// Cases that are refused, with what the error says: a part of the name, and a part of the message.
const REFUSED: &[(&str, &str)] = &[
    (
        "convtranspose_3d",
        "does not belong to a signal or an image",
    ),
    ("maxpool_2d_uint8", "does not hold real numbers"),
    ("training_dropout", "other random numbers are drawn"),
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
    ("resize", "smoothing before images become smaller"),
    ("resize_tf_crop", "the coordinates `tf_crop_and_resize`"),
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

/// The network of a case, and how it is run.
struct Case {
    network: Network,
    mode: Mode,
    program: Program,
}

impl Case {
    fn new(name: &str, model: &[u8]) -> Result<Self> {
        let network = onnx::from_bytes(model, &Options::default())?;
        let training = name.contains("training");
        let mode = if training {
            Mode::Train
        } else {
            Mode::Evaluate
        };
        if training && network.is_random() {
            let text = "other random numbers are drawn than in the example";
            return Err(Error::new(ErrorKind::Capability, text));
        }
        let program = network.program(1, mode)?;
        Ok(Self {
            network,
            mode,
            program,
        })
    }

    /// The outputs at some parameters.
    fn outputs(&self, parameters: &[f64]) -> Vec<Vec<f64>> {
        let buffers = self.network.initial_buffers::<f64>();
        let inputs = [Data::Float(parameters), Data::Float(&buffers)];
        run(&self.program, &inputs)
    }

    /// Compares the outputs with those expected.
    fn check(&self, name: &str, expected: &[Output]) -> std::result::Result<(), String> {
        for (i, e) in expected.iter().enumerate() {
            let shape = &self.program.output_type(i).shape[..];
            if shape != e.shape {
                return Err(format!(
                    "output {i} has the shape {shape:?}, not {:?}",
                    e.shape
                ));
            }
        }
        let rounded = ROUNDED.iter().find(|(n, _)| name.contains(n));
        let tolerance = rounded.map_or(1e-5, |r| r.1);
        let found = self.outputs(&self.network.initial::<f64>(0));
        for (i, (f, e)) in found.iter().zip(expected).enumerate() {
            for (k, (&f, &e)) in f.iter().zip(&e.values).enumerate() {
                let same = f == e || (f.is_nan() && e.is_nan());
                let close = (f - e).abs() <= tolerance * e.abs().max(0.1);
                if !same && !close {
                    return Err(format!("output {i} at {k} is {f}, not {e}"));
                }
            }
        }
        Ok(())
    }

    /// Compares derivatives along a direction with differences, and those of the transpose with them, where there are any.
    /// Returns how many entries were compared. Statistics of training are taken for constants.
    fn check_derivatives(&self, stream: &mut Stream) -> std::result::Result<usize, String> {
        if self.mode == Mode::Train {
            return Ok(0);
        }
        let x = self.network.initial::<f64>(0);
        let d: Vec<f64> = x.iter().map(|_| stream.uniform() - 0.5).collect();
        let buffers = self.network.initial_buffers::<f64>();
        let shifted = |h: f64| {
            let moved: Vec<f64> = x.iter().zip(&d).map(|(x, d)| x + h * d).collect();
            self.outputs(&moved)
        };
        let tangent = self
            .program
            .linearize(&["parameters"])
            .map_err(|e| e.to_string())?;
        let inputs = [Data::Float(&x), Data::Float(&buffers), Data::Float(&d)];
        let tangents = run(&tangent, &inputs);
        let [before, here, after] = [-STEP, 0.0, STEP].map(shifted);
        let mut compared = 0;
        for (i, t) in tangents.iter().enumerate() {
            for (k, &t) in t.iter().enumerate() {
                let left = (here[i][k] - before[i][k]) / STEP;
                let right = (after[i][k] - here[i][k]) / STEP;
                // At a kink or jump there is no derivative.
                let steady = (left - right).abs() <= 1e-3 * left.abs().max(0.1);
                let smooth = steady && left.abs() < JUMP;
                let central = (left + right) / 2.0;
                if smooth
                    && (central - t).abs() > 1e-5 * here[i][k].abs().max(central.abs()).max(1.0)
                {
                    return Err(format!(
                        "output {i} at {k}: derivative {t}, differences {central}"
                    ));
                }
                compared += usize::from(smooth);
            }
        }
        self.check_transpose(&x, &d, &tangents, stream)
            .map(|()| compared)
    }

    /// `u · J d = Jᵀ u · d`.
    fn check_transpose(
        &self,
        x: &[f64],
        d: &[f64],
        tangents: &[Vec<f64>],
        stream: &mut Stream,
    ) -> std::result::Result<(), String> {
        let weights: Vec<Vec<f64>> = tangents
            .iter()
            .map(|t| t.iter().map(|_| stream.uniform() - 0.5).collect())
            .collect();
        let total = Program::trace(|t| {
            let call = Call {
                parameters: t.input("parameters", [x.len()]),
                buffers: t.input("buffers", [self.network.buffers().len()]),
                inputs: &[],
                mode: self.mode,
                key: None,
            };
            let outputs = self.network.trace(t, call).outputs;
            let sums = outputs
                .iter()
                .zip(&weights)
                .map(|(y, u)| (*y * t.constant(u, y.shape())).sum_all());
            vec![sums.reduce(|a, b| a + b).expect("an output")]
        });
        let gradient = total
            .and_then(|p| p.grad(&["parameters"]))
            .map_err(|e| e.to_string())?;
        let buffers = self.network.initial_buffers::<f64>();
        let gradient = run(&gradient, &[Data::Float(x), Data::Float(&buffers)]);
        let products =
            |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<f64>>();
        let forward: Vec<f64> = tangents
            .iter()
            .zip(&weights)
            .flat_map(|(t, u)| products(t, u))
            .collect();
        let backward = products(&gradient[0], d);
        let scale: f64 = forward.iter().chain(&backward).map(|v| v.abs()).sum();
        let [a, b] = [forward, backward].map(|v| v.iter().sum::<f64>());
        if (a - b).abs() <= 1e-10 * scale.max(1.0) || a == b || a.is_nan() {
            return Ok(());
        }
        Err(format!("{a} forward, {b} backward"))
    }
}

/// Step of differences, and slopes from which on they are jumps.
const STEP: f64 = 1e-6;
const JUMP: f64 = 1e4;

/// The outputs of a program.
fn run(program: &Program, inputs: &[Data<'_, f64>]) -> Vec<Vec<f64>> {
    let lengths = (0..program.outputs()).map(|i| program.output_type(i).len());
    let mut found: Vec<Vec<f64>> = lengths.map(|n| vec![0.0; n]).collect();
    let mut outputs: Vec<&mut [f64]> = found.iter_mut().map(|v| &mut v[..]).collect();
    let mut compiled = Executable::<f64>::new(program).expect("outputs are real");
    compiled.run(inputs, &mut outputs).expect("inputs fit");
    found
}

/// Which of the cases that are refused this one is.
fn refusal(name: &str, e: &Error) -> Option<usize> {
    let matches = |(n, m): &(&str, &str)| name.contains(n) && e.to_string().contains(m);
    REFUSED.iter().position(matches)
}

#[test]
fn nodes_compute_what_the_onnx_package_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/onnx/nodes.bin");
    let file = std::fs::read(path).expect("a file");
    let mut bytes = Bytes(&file);
    let (mut passed, mut compared, mut wrong) = (0, 0, Vec::new());
    let mut refused = BTreeSet::new();
    let seed = 3;
    let mut stream = SeedTree::new(seed).stream(0);
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
        match Case::new(name, model) {
            Ok(case) => {
                let mut derivatives = || case.check_derivatives(&mut stream);
                match case.check(name, &outputs).and_then(|()| derivatives()) {
                    Ok(n) => (passed, compared) = (passed + 1, compared + n),
                    Err(message) => wrong.push(format!("{name}: {message}")),
                }
            }
            Err(e) if refusal(name, &e).is_some() => {
                refused.extend(refusal(name, &e));
                left_out.entry(e.to_string()).or_default().push(name);
            }
            Err(e) => wrong.push(format!("{name}: {e}")),
        }
    }
    for (why, names) in &left_out {
        println!("left out, {why}: {}", names.join(", "));
    }
    println!("{passed} passed; {compared} derivatives compared, seed {seed}");
    assert_eq!(
        refused.len(),
        REFUSED.len(),
        "everything that is refused was seen"
    );
    assert!(compared > 50_000, "derivatives were compared");
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

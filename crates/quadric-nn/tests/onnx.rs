//! Networks exported by PyTorch, JAX and Keras, against what these compute with them: outputs; of PyTorch also gradients and Hessian
//! products.

use quadric_autodiff::{Data, Executable, Kind, Program, Tensor};
use quadric_linalg::Scalar;
use quadric_nn::onnx::{self, Options};
use quadric_nn::{Call, Mode, Network};
use serde_json::Value;
use std::path::PathBuf;

const EXAMPLES: usize = 3;

/// The networks of make.py; those that an optimising export has changed have no gradients by the names of PyTorch.
const FIXTURES: [(&str, bool); 12] = [
    ("mlp", true),
    ("cnn", true),
    ("cnn_folded", false),
    ("cnn_training", true),
    ("residual", true),
    ("resnet20", true),
    ("lstm", true),
    ("lstm_legacy", true),
    ("gru", true),
    ("transformer", true),
    ("transformer_folded", false),
    ("transformer_legacy", true),
];

fn path(file: &str) -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/onnx");
    PathBuf::from(root).join(file)
}

fn options(name: &str) -> Options {
    let mut options = Options::default();
    if name == "transformer_folded" {
        options.constants.insert("unsqueeze_2".to_owned());
    }
    options
}

fn numbers(v: &Value) -> Vec<f64> {
    let all = v.as_array().expect("a list").iter();
    all.map(|v| v.as_f64().expect("a number")).collect()
}

/// The values of all parameters in the order of the network, from a record by their names.
fn flat(network: &Network, named: &Value) -> Vec<f64> {
    let named = named.as_object().expect("parameters");
    let layout = network.layout().segments();
    assert_eq!(named.len(), layout.len(), "parameters {named:?}");
    let mut all = Vec::new();
    for s in layout {
        let values = numbers(&named[&s.name]);
        assert_eq!(values.len(), s.len(), "{}", s.name);
        all.extend(values);
    }
    all
}

fn check<T: Scalar>(what: &str, found: &[T], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-3, |m: f64, v| m.max(v.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f.to_f64() - e).abs() / scale;
        assert!(
            error <= tolerance,
            "{what} at {i}: {f:?}, not {e:?} ({error:e})"
        );
    }
}

/// The first output, or half the sum of its squares.
fn program(network: &Network, mode: Mode, is_loss: bool) -> Program {
    let program = Program::trace(|t| {
        let parameters = t.input("parameters", [network.layout().len()]);
        let buffers = t.input("buffers", [network.buffers().len()]);
        let port = &network.inputs()[0];
        let shape = port.of_batch(EXAMPLES).shape;
        let input: Tensor<'_> = match port.kind {
            Kind::Float => t.input(&port.name, shape),
            Kind::Index => t.index_input(&port.name, shape),
        };
        let call = Call {
            parameters,
            buffers,
            inputs: &[input],
            mode,
            key: None,
        };
        let y = network.trace(t, call).outputs[0];
        vec![if is_loss {
            y.square().sum_all() * 0.5
        } else {
            y
        }]
    });
    program.expect("shapes fit")
}

struct Case {
    name: &'static str,
    network: Network,
    record: Value,
    mode: Mode,
}

impl Case {
    fn new(name: &'static str) -> Self {
        let network = onnx::read(path(&format!("{name}.onnx")), &options(name));
        let text = std::fs::read_to_string(path(&format!("{name}.json")));
        let record: Value = serde_json::from_str(&text.expect("a record")).expect("JSON");
        let training = record["training"].as_bool().expect("a flag");
        Self {
            name,
            network: network.unwrap_or_else(|e| panic!("{name}: {e}")),
            record,
            mode: if training {
                Mode::Train
            } else {
                Mode::Evaluate
            },
        }
    }

    fn run<T: Scalar>(&self, has_gradient: bool, outputs: f64, derivatives: f64) {
        let (network, record) = (&self.network, &self.record);
        let input = numbers(&record["input"]);
        let floats: Vec<T> = input.iter().map(|&v| T::of(v)).collect();
        let indices: Vec<i32> = input.iter().map(|&v| v as i32).collect();
        let batch = match network.inputs()[0].kind {
            Kind::Float => Data::Float(&floats),
            Kind::Index => Data::Index(&indices),
        };
        let (parameters, buffers) = (network.initial::<T>(0), network.initial_buffers::<T>());
        let point = [Data::Float(&parameters), Data::Float(&buffers), batch];
        let expected = numbers(&record["output"]);
        let output = program(network, self.mode, false);
        let mut y = vec![T::of(0.0); expected.len()];
        let mut compiled = Executable::<T>::new(&output).expect("compiles");
        compiled.run(&point, &mut [&mut y]).expect("runs");
        check(&format!("{}: output", self.name), &y, &expected, outputs);
        assert_eq!(
            record.get("gradient").is_some(),
            has_gradient,
            "{}",
            self.name
        );
        if !has_gradient {
            return;
        }
        let loss = program(network, self.mode, true);
        let gradient = loss.grad(&["parameters"]).expect("a number");
        let mut g = vec![T::of(0.0); parameters.len()];
        let mut compiled = Executable::<T>::new(&gradient).expect("compiles");
        compiled.run(&point, &mut [&mut g]).expect("runs");
        let expected = flat(network, &record["gradient"]);
        check(
            &format!("{}: gradient", self.name),
            &g,
            &expected,
            derivatives,
        );
        let product = gradient.linearize(&["parameters"]).expect("an input");
        let direction = flat(network, &record["direction"]);
        let direction: Vec<T> = direction.iter().map(|&v| T::of(v)).collect();
        let mut compiled = Executable::<T>::new(&product).expect("compiles");
        let mut prepared = compiled.prepare(&point).expect("a point");
        let mut hv = vec![T::of(0.0); parameters.len()];
        prepared
            .apply(&[Data::Float(&direction)], &mut [&mut hv])
            .expect("runs");
        let expected = flat(network, &record["product"]);
        check(
            &format!("{}: Hessian product", self.name),
            &hv,
            &expected,
            derivatives,
        );
    }
}

#[test]
fn networks_compute_what_pytorch_computes() {
    for (name, has_gradient) in FIXTURES {
        let case = Case::new(name);
        case.run::<f64>(has_gradient, 1e-10, 1e-9);
        case.run::<f32>(has_gradient, 1e-5, 1e-4);
    }
}

#[test]
fn networks_compute_what_jax_computes() {
    let case = Case::new("jax");
    case.run::<f64>(false, 1e-10, 0.0);
    case.run::<f32>(false, 1e-5, 0.0);
}

#[test]
fn networks_compute_what_keras_computes() {
    let case = Case::new("keras");
    case.run::<f64>(false, 1e-5, 0.0);
    case.run::<f32>(false, 1e-5, 0.0);
}

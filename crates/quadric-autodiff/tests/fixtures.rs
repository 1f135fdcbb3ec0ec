//! Networks against PyTorch and JAX: `testdata/autodiff/make.py`.

mod networks;

use networks::programs::Network;
use networks::small_networks;
use quadric_autodiff::{Array, Data, Executable, Kind, Program};
use quadric_linalg::Scalar;
use serde_json::Value;

/// Entry `at` of array `number`: a multiple of 2^-20 in [-1/2, 1/2), the same in both precisions.
fn entry(number: usize, at: usize) -> f64 {
    let mut k = (number * 65_536 + 1 + at) as u32;
    k = k.wrapping_mul(2_654_435_761);
    k ^= k >> 15;
    k = k.wrapping_mul(2_246_822_519);
    k ^= k >> 13;
    f64::from(k >> 12) / f64::from(1 << 20) - 0.5
}

/// Values of the inputs: `x`, labels, parameters, then as many directions for each of `first`.
fn inputs<T: Scalar>(program: &Program, parameters: usize, first: &[usize]) -> Vec<Array<T>> {
    let inputs = program.inputs().iter().enumerate();
    let values = inputs.map(|(i, input)| {
        let (t, name) = (program.input_type(i), input.name());
        if t.kind == Kind::Index {
            return Array::Index((0..t.len()).map(|i| (i * 3 % 10) as i32).collect());
        }
        let is_scale =
            name.ends_with("scale") || (name.ends_with("weight") && name.contains("norm"));
        let (number, scale, shift) = match i.checked_sub(2) {
            None => (0, 2.0, 0.0),
            Some(p) if p < parameters => (p + 1, 1.0, if is_scale { 1.0 } else { 0.0 }),
            Some(d) => (first[d / parameters - 1] + d % parameters, 1.0, 0.0),
        };
        let values = (0..t.len()).map(|at| T::of(scale * entry(number, at) + shift));
        Array::Float(values.collect())
    });
    values.collect()
}

/// All outputs one after another, of a program that is run at once, prepared and applied twice, and evaluated plainly.
fn outputs<T: Scalar>(program: &Program, inputs: &[Array<T>]) -> [Vec<T>; 3] {
    let sizes: Vec<usize> = (0..program.outputs())
        .map(|i| program.output_type(i).len())
        .collect();
    let room = || -> Vec<Vec<T>> { sizes.iter().map(|&n| vec![T::of(f64::NAN); n]).collect() };
    let given: Vec<Data<'_, T>> = inputs.iter().map(Array::data).collect();
    let points = program
        .inputs()
        .iter()
        .filter(|i| !i.is_direction())
        .count();
    let mut executable = Executable::new(program).expect("real outputs");
    let (mut whole, mut staged) = (room(), room());
    let mut slots: Vec<&mut [T]> = whole.iter_mut().map(Vec::as_mut_slice).collect();
    executable.run(&given, &mut slots).expect("inputs fit");
    let mut slots: Vec<&mut [T]> = staged.iter_mut().map(Vec::as_mut_slice).collect();
    let mut prepared = executable.prepare(&given[..points]).expect("a point");
    let zeros: Vec<Array<T>> = inputs[points..]
        .iter()
        .map(|d| Array::Float(vec![T::of(0.0); d.floats().len()]))
        .collect();
    let nothing: Vec<Data<'_, T>> = zeros.iter().map(Array::data).collect();
    for directions in [&nothing[..], &given[points..]] {
        prepared
            .apply(directions, &mut slots)
            .expect("directions fit");
    }
    let plain = program.run(&given).expect("inputs fit");
    let plain = plain.iter().flat_map(Array::floats).copied().collect();
    [whole.concat(), staged.concat(), plain]
}

fn check<T: Scalar>(name: &str, network: &Network, expected: &Value, tolerance: f64) {
    let wrt = network.names();
    let gradient = network.loss.grad(&wrt).expect("names");
    let product = gradient.linearize(&wrt).expect("names");
    let third = product.linearize(&wrt).expect("names");
    let mut programs = vec![
        ("loss", &network.loss),
        ("gradient", &gradient),
        ("product", &product),
    ];
    if name == "mlp" {
        programs.push(("third", &third));
    }
    for (quantity, program) in programs {
        let numbers = expected[quantity].as_array().expect("numbers");
        let numbers: Vec<f64> = numbers.iter().filter_map(Value::as_f64).collect();
        let most = numbers.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        assert!(most > 1e-3, "{quantity} of {name} is nearly zero");
        let at = inputs::<T>(program, wrt.len(), &[100, 200]);
        let ways = ["at once", "prepared", "plainly"];
        for (way, found) in ways.into_iter().zip(outputs(program, &at)) {
            assert_eq!(found.len(), numbers.len(), "{quantity} of {name}");
            for (i, (a, b)) in found.iter().zip(&numbers).enumerate() {
                let error = (a.to_f64() - b).abs() / most;
                assert!(
                    error <= tolerance,
                    "{quantity} of {name}, {way}: entry {i} is {a:?}, expected {b} (error {error:.1e})"
                );
            }
        }
    }
}

/// Relative to the largest entry: the peers agree to 1e-10 with each other.
#[test]
fn networks_agree_with_pytorch_and_jax() {
    let text = include_str!("../../../testdata/autodiff/networks.json");
    let data: Value = serde_json::from_str(text).expect("JSON");
    for (name, network) in small_networks() {
        let expected = &data["networks"][name];
        check::<f64>(name, &network, expected, 1e-9);
        check::<f32>(name, &network, expected, 1e-4);
    }
}

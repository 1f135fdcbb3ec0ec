//! Training: steps beside gradients of the problem, running statistics, digits, threads, refusals.

use quadric_autodiff::Array;
use quadric_core::{ErrorKind, Smooth};
use quadric_data::embedded;
use quadric_linalg::DataMatrix;
use quadric_nn::layers::{Activation, BatchNorm, Dense, batch_norm, dense};
use quadric_nn::models::{Resnet, mlp, resnet};
use quadric_nn::{Examples, Loss, Network, Port, SgdOptions, Supervised, Training};
use std::ops::ControlFlow;

fn goes_on(_: usize, _: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Some of the digits, 8 x 8 pixels.
fn digits(count: usize) -> Examples<f32> {
    let data = embedded("digits").expect("the set is embedded");
    let DataMatrix::Dense(x) = &data.x else {
        panic!("images are dense");
    };
    let pixels = x.values()[..64 * count].iter().map(|v| *v as f32 / 16.0);
    let labels = data.target[..count].iter().map(|y| *y as i32);
    Examples {
        count,
        inputs: vec![Array::Float(pixels.collect())],
        targets: Array::Index(labels.collect()),
    }
}

fn small_resnet() -> Network {
    let options = Resnet {
        depth: 8,
        image: [8, 8, 1],
        width: 4,
        ..Resnet::default()
    };
    resnet(options).expect("a depth")
}

#[test]
fn steps_follow_gradients_of_the_problem() {
    let examples = Examples {
        count: 5,
        inputs: vec![Array::Float(
            (0..15).map(|i| (f64::from(i)).sin()).collect(),
        )],
        targets: Array::Float((0..10).map(|i| (f64::from(i)).cos()).collect()),
    };
    let network = mlp(&[3, 4, 2], Activation::Tanh).expect("sizes");
    let options = SgdOptions {
        momentum: 0.7,
        weight_decay: 0.01,
        seed: 4,
        ..SgdOptions::default()
    };
    let mut x: Vec<f64> = network.initial(4);
    x.iter_mut().for_each(|x| *x *= 0.8);
    let (mut v, mut g) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    let problem = Supervised::new(network.clone(), Loss::Squared, examples.clone());
    let problem = problem.expect("examples fit");
    let training = Training::new(network, Loss::Squared, examples, options);
    let training = training.expect("examples fit").with_parameters(x.clone());
    let mut training = training.expect("as many parameters");
    for rate in [0.3, 0.2, 0.1] {
        let found = training.epoch(rate, &mut goes_on).expect("an epoch");
        let loss = problem.value_grad(&x, &mut g).expect("a point");
        assert!((found - loss).abs() < 1e-12, "{found} is not {loss}");
        for ((x, v), g) in x.iter_mut().zip(&mut v).zip(&g) {
            *v = 0.7 * *v + g + 0.01 * *x;
            *x -= rate * *v;
        }
        for (found, x) in training.parameters().iter().zip(&x) {
            assert!((found - x).abs() < 1e-12, "{found} is not {x}");
        }
    }
}

#[test]
fn running_statistics_are_those_of_the_batches() {
    let network = Network::new([Port::floats("x", [1])], |scope, x| {
        let y = batch_norm(scope, "bn", x[0], BatchNorm::default());
        vec![dense(scope, "fc", y, 1, &Dense::default())]
    });
    let examples = Examples {
        count: 4,
        inputs: vec![Array::Float(vec![1.0, 2.0, 4.0, 5.0])],
        targets: Array::Float(vec![0.0, 1.0, 0.0, 1.0]),
    };
    let options = SgdOptions::default();
    let training = Training::<f64>::new(network.expect("fits"), Loss::Squared, examples, options);
    let mut training = training.expect("examples fit");
    training.epoch(0.1, &mut goes_on).expect("an epoch");
    training.epoch(0.1, &mut goes_on).expect("an epoch");
    // Mean 3 and unbiased variance 10 / 3, with a tenth of the weight twice.
    let expected = [3.0 * 0.19, 0.81 + 0.19 * 10.0 / 3.0];
    for (found, expected) in training.buffers().iter().zip(expected) {
        assert!(
            (found - expected).abs() < 1e-12,
            "{found} is not {expected}"
        );
    }
}

#[test]
fn the_loss_falls_and_threads_change_no_bit() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("threads").install(|| {
            let options = SgdOptions {
                batch: 32,
                ..SgdOptions::default()
            };
            let (loss, set) = (Loss::CROSS_ENTROPY, digits(200));
            let training = Training::new(small_resnet(), loss, set, options);
            let mut training = training.expect("digits fit");
            assert_eq!(training.steps(), 6);
            let losses: Vec<u64> = (0..8)
                .map(|_| training.epoch(0.05, &mut goes_on).expect("an epoch"))
                .map(f64::to_bits)
                .collect();
            let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
            let (x, b) = (bits(training.parameters()), bits(training.buffers()));
            (losses, x, b)
        })
    };
    let one = run(1);
    let (first, last) = (f64::from_bits(one.0[0]), f64::from_bits(one.0[7]));
    assert!(last < 0.4 * first, "from {first} to {last}");
    assert_eq!(one, run(3));
}

#[test]
fn what_cannot_go_on_ends_with_an_error() {
    let new = |options| Training::new(small_resnet(), Loss::CROSS_ENTROPY, digits(20), options);
    let of = |options| new(options).err().expect("out of range").to_string();
    let usual = SgdOptions::default();
    assert!(of(SgdOptions { batch: 0, ..usual }).contains("batch"));
    let momentum = 1.0;
    assert!(of(SgdOptions { momentum, ..usual }).contains("momentum"));
    let weight_decay = f64::NAN;
    let options = SgdOptions {
        weight_decay,
        ..usual
    };
    assert!(of(options).contains("weight_decay"));

    let begins = |parameters| new(usual).expect("digits fit").with_parameters(parameters);
    let wrong = begins(vec![0.0; 3]).err().expect("too few");
    assert_eq!(wrong.kind(), ErrorKind::Shape, "{wrong}");
    let mut parameters: Vec<f32> = small_resnet().initial(0);
    parameters[7] = f32::NAN;
    let wrong = begins(parameters).err().expect("not a number");
    assert_eq!(wrong.kind(), ErrorKind::NonFinite, "{wrong}");

    let batch = 5;
    let mut training = new(SgdOptions { batch, ..usual }).expect("digits fit");
    for rate in [0.0, f64::INFINITY] {
        let wrong = training.epoch(rate, &mut goes_on).expect_err("no rate");
        assert!(wrong.to_string().contains("rate"), "{wrong}");
    }
    let mut told = Vec::new();
    let stopped = training.epoch(0.1, &mut |done, of| {
        told.push((done, of));
        match done {
            2 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    assert_eq!(stopped.expect_err("a break").kind(), ErrorKind::Stopped);
    assert_eq!(told, [(1, 4), (2, 4)]);
    let diverged = training.epoch(1e38, &mut goes_on).expect_err("too far");
    assert_eq!(diverged.kind(), ErrorKind::NonFinite, "{diverged}");

    let mut labels = digits(20);
    labels.targets = Array::Index(vec![10; 20]);
    let training = Training::new(small_resnet(), Loss::CROSS_ENTROPY, labels, usual);
    let mut training = training.expect("labels are checked when they are read");
    let wrong = training.epoch(0.1, &mut goes_on).expect_err("no class");
    assert!(wrong.to_string().contains("class"), "{wrong}");
}

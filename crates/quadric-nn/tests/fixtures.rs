//! Layers and losses against PyTorch: `testdata/nn/make.py`.

mod common;

use common::close;
use quadric_autodiff::{Data, Executable, Kind, Padding, Program, Tensor, Windows};
use quadric_core::Role;
use quadric_nn::layers::{
    Activation, Attention, BatchNorm, Conv1d, Conv2d, Dense, EncoderLayer, Recurrent, batch_norm,
    conv1d, conv2d, dense, encoder_layer, group_norm, gru, layer_norm, lstm, rnn, self_attention,
};
use quadric_nn::{Call, Loss, Mode, Network, Port, Scope};
use serde_json::Value;

/// Entry `at` of array `number`: a multiple of 2^-20 in [-1/2, 1/2).
fn entry(number: usize, at: usize) -> f64 {
    let mut k = (number * 65_536 + 1 + at) as u32;
    k = k.wrapping_mul(2_654_435_761);
    k ^= k >> 15;
    k = k.wrapping_mul(2_246_822_519);
    k ^= k >> 13;
    f64::from(k >> 12) / f64::from(1 << 20) - 0.5
}

fn entries(number: usize, n: usize, scale: f64, shift: f64) -> Vec<f64> {
    (0..n).map(|at| scale * entry(number, at) + shift).collect()
}

fn expected() -> Value {
    let text = include_str!("../../../testdata/nn/layers.json");
    serde_json::from_str(text).expect("JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    let all = value.as_array().expect("numbers").iter();
    all.map(|v| v.as_f64().expect("a number")).collect()
}

fn shape(value: &Value) -> Vec<usize> {
    numbers(value).into_iter().map(|v| v as usize).collect()
}

/// All outputs of a compiled program, which the plain evaluation confirms.
fn run(program: &Program, inputs: &[Data<'_, f64>]) -> Vec<Vec<f64>> {
    let plain = program.run(inputs).expect("inputs fit");
    let mut outs: Vec<Vec<f64>> = plain
        .iter()
        .map(|a| vec![f64::NAN; a.floats().len()])
        .collect();
    let mut slots: Vec<&mut [f64]> = outs.iter_mut().map(Vec::as_mut_slice).collect();
    let mut compiled = Executable::new(program).expect("real outputs");
    compiled.run(inputs, &mut slots).expect("inputs fit");
    for (out, plain) in outs.iter().zip(&plain) {
        close("compiled", out, plain.floats(), 1e-12);
    }
    outs
}

fn check(
    name: &str,
    expected: &Value,
    layer: impl for<'t> Fn(&Scope<'t>, Tensor<'t>) -> Tensor<'t> + Send + Sync + 'static,
) {
    let shape = shape(&expected["shape"]);
    let port = Port::floats("x", shape[1..].iter().copied());
    let network = Network::new([port], move |scope, x| vec![layer(scope, x[0])]);
    let network = network.unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut w = vec![0.0; network.layout().len()];
    for (i, segment) in network.layout().segments().iter().enumerate() {
        let shift = f64::from(segment.role == Role::Scale);
        w[segment.range()].copy_from_slice(&entries(i + 1, segment.len(), 1.0, shift));
    }
    let program = Program::trace(|t| {
        let w = t.input("w", [w.len()]);
        let buffers: Vec<f64> = network.initial_buffers();
        let x = entries(0, shape.iter().product(), 2.0, 0.0);
        let call = Call {
            parameters: w,
            buffers: t.constant(&buffers, [buffers.len()]),
            inputs: &[t.constant(&x, shape.iter().copied())],
            mode: Mode::Train,
            key: None,
        };
        let output = network.trace(t, call).outputs[0];
        let size = output.shape().iter().product();
        let target = t.constant(&entries(50, size, 1.0, 0.0), output.shape());
        let loss = Loss::Squared.apply(output, target).mean();
        [vec![output], t.grad(loss, &[w])].concat()
    });
    let program = program.unwrap_or_else(|e| panic!("{name}: {e}"));
    let outs = run(&program, &[Data::Float(&w)]);
    for (what, out) in ["output", "gradient"].into_iter().zip(outs) {
        close(
            &format!("{name}: {what}"),
            &out,
            &numbers(&expected[what]),
            1e-12,
        );
    }
}

fn both(r: Recurrent<'_>) -> Tensor<'_> {
    r.states.concat(&[r.last.expand(1)], 1)
}

#[test]
fn recurrent_layers_are_those_of_pytorch() {
    let all = &expected()["layers"];
    check("rnn", &all["rnn"], |s, x| {
        both(rnn(s, "layer", x, 4, Activation::Tanh))
    });
    check("rnn relu", &all["rnn relu"], |s, x| {
        both(rnn(s, "layer", x, 4, Activation::Relu))
    });
    check("gru", &all["gru"], |s, x| both(gru(s, "layer", x, 4)));
    check("lstm", &all["lstm"], |s, x| both(lstm(s, "layer", x, 4)));
}

#[test]
fn dense_layers_and_convolutions_are_those_of_pytorch() {
    let all = &expected()["layers"];
    check("dense", &all["dense"], |s, x| {
        dense(s, "layer", x, 4, &Dense::default())
    });
    let options = Conv2d {
        windows: Windows {
            strides: [2, 1],
            dilation: [1, 2],
            padding: Padding::Zeros([1, 2], [1, 2]),
            groups: 2,
        },
        ..Conv2d::default()
    };
    check("conv2d", &all["conv2d"], move |s, x| {
        conv2d(s, "layer", x, 6, [2, 3], &options)
    });
    let options = Conv1d {
        stride: 2,
        dilation: 2,
        padding: [1, 1],
        groups: 2,
        ..Conv1d::default()
    };
    check("conv1d", &all["conv1d"], move |s, x| {
        conv1d(s, "layer", x, 6, 3, &options)
    });
    let options = Conv2d {
        weight_norm: true,
        ..Conv2d::default()
    };
    check("weight_norm", &all["weight_norm"], move |s, x| {
        conv2d(s, "layer", x, 3, [2, 2], &options)
    });
}

#[test]
fn normalisations_are_those_of_pytorch() {
    let all = &expected()["layers"];
    check("layer_norm", &all["layer_norm"], |s, x| {
        layer_norm(s, "layer", x)
    });
    check("group_norm", &all["group_norm"], |s, x| {
        group_norm(s, "layer", x, 2)
    });
    check("batch_norm", &all["batch_norm"], |s, x| {
        batch_norm(s, "layer", x, BatchNorm::default())
    });
}

#[test]
fn attention_is_that_of_pytorch() {
    let all = &expected()["layers"];
    for (name, causal) in [("attention", false), ("causal attention", true)] {
        let options = Attention {
            causal,
            dropout: 0.0,
        };
        check(name, &all[name], move |s, x| {
            self_attention(s, "layer", x, 2, options)
        });
    }
    let modern = EncoderLayer {
        feedforward: 5,
        ..EncoderLayer::new(6, 2)
    };
    check("encoder", &all["encoder"], move |s, x| {
        encoder_layer(s, "layer", x, modern)
    });
    let original = EncoderLayer {
        activation: Activation::Relu,
        causal: true,
        norm_first: false,
        ..modern
    };
    let name = "encoder of the paper";
    check(name, &all[name], move |s, x| {
        encoder_layer(s, "layer", x, original)
    });
}

/// Two batches of training, then an evaluation.
#[test]
fn running_statistics_are_those_of_pytorch() {
    let expected = &expected()["running statistics"];
    let network = Network::new([Port::floats("x", [3, 5, 4])], |scope, x| {
        vec![batch_norm(scope, "norm", x[0], BatchNorm::default())]
    });
    let network = network.expect("shapes fit");
    let w: Vec<f64> = network.initial(0);
    let step = |mode: Mode, buffers: &[f64], x: &[f64]| {
        let program = Program::trace(|t| {
            let call = Call {
                parameters: t.constant(&w, [w.len()]),
                buffers: t.input("buffers", [buffers.len()]),
                inputs: &[t.input("x", [2, 3, 5, 4])],
                mode,
                key: None,
            };
            let traced = network.trace(t, call);
            vec![traced.outputs[0], traced.buffers]
        });
        let inputs = [Data::Float(buffers), Data::Float(x)];
        run(&program.expect("shapes fit"), &inputs)
    };
    let mut buffers: Vec<f64> = network.initial_buffers();
    for number in 0..2 {
        let x = entries(number, 120, 2.0, number as f64);
        buffers = step(Mode::Train, &buffers, &x).remove(1);
    }
    close("running", &buffers, &numbers(&expected["running"]), 1e-13);
    let outs = step(Mode::Evaluate, &buffers, &entries(2, 120, 1.0, 0.0));
    close("evaluated", &outs[0], &numbers(&expected["output"]), 1e-13);
    assert_eq!(outs[1], buffers, "an evaluation changes no buffer");
}

#[test]
fn losses_are_those_of_pytorch() {
    let labels = &[0, 2, 1, 2, 0][..];
    let many = &[0, 2, -100, -100, -100, -100, 1, 1, 2][..];
    let cross = |smoothing, ignored| Loss::CrossEntropy { smoothing, ignored };
    let all = [
        ("cross-entropy", Loss::CROSS_ENTROPY, labels),
        ("smoothed", cross(0.1, None), labels),
        ("ignored", cross(0.0, Some(2)), labels),
        ("smoothed, ignored, sequences", cross(0.2, Some(-100)), many),
        ("mean-squared", Loss::MeanSquared, &[]),
        ("bernoulli", Loss::Bernoulli, &[]),
    ];
    for (name, loss, labels) in all {
        let expected = &expected()["losses"][name];
        let shape = shape(&expected["shape"]);
        let size = shape.iter().product();
        let port = loss.target(&shape[1..]).expect("an output");
        let probabilities = entries(1, size, 1.0, 0.5);
        let targets: Data<'_, f64> = match port.kind {
            Kind::Index => Data::Index(labels),
            Kind::Float => Data::Float(&probabilities),
        };
        loss.check(targets, shape[shape.len() - 1])
            .expect("targets");
        let program = Program::trace(|t| {
            let x = t.input("x", shape.iter().copied());
            let of_batch = port.of_batch(shape[0]).shape;
            let targets = match targets {
                Data::Index(v) => t.index_constant(v, of_batch),
                Data::Float(v) => t.constant(v, of_batch),
            };
            let losses = loss.apply(x, targets);
            assert_eq!(losses.values.shape()[..], shape[..1]);
            let mean = losses.mean();
            vec![mean, t.grad(mean, &[x])[0]]
        });
        let x = entries(0, size, 4.0, 0.0);
        let outs = run(&program.expect("shapes fit"), &[Data::Float(&x)]);
        for (what, out) in ["loss", "gradient"].into_iter().zip(outs) {
            close(
                &format!("{name}: {what}"),
                &out,
                &numbers(&expected[what]),
                1e-13,
            );
        }
    }
}

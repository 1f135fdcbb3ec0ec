//! Every layer by derivatives: gradients against differences of the loss, Hessians against differences of gradients.

mod common;

use common::Case;
use quadric_autodiff::{Data, Executable, Padding, Program, Tensor, Windows};
use quadric_nn::layers::{
    Activation, Attention, BatchNorm, Conv1d, Conv2d, Dense, EncoderLayer, batch_norm, conv1d,
    conv2d, dense, dropout, embedding, encoder_layer, global_avg_pool, global_max_pool, group_norm,
    gru, layer_norm, lstm, rnn, self_attention,
};
use quadric_nn::{Call, Loss, Mode, Network, Port, Scope};

/// A network of one input.
fn network(
    port: Port,
    body: impl for<'t> Fn(&Scope<'t>, Tensor<'t>) -> Tensor<'t> + Send + Sync + 'static,
) -> Network {
    let network = Network::new([port], move |scope, x| vec![body(scope, x[0])]);
    network.unwrap_or_else(|e| panic!("{e}"))
}

fn check(name: &str, mode: Mode, network: Network) {
    Case::new(network, Loss::Squared, mode, 3).check(name);
}

#[test]
fn dense_layers() {
    for (bias, weight_norm) in [(true, false), (false, false), (true, true)] {
        let options = Dense {
            bias,
            weight_norm,
            ..Dense::default()
        };
        let model = network(Port::floats("x", [3]), move |scope, x| {
            let h = dense(scope, "fc1", x, 4, &options).tanh();
            dense(scope, "fc2", h, 2, &options)
        });
        check(&format!("{bias} {weight_norm}"), Mode::Evaluate, model);
    }
}

#[test]
fn convolutions() {
    let windows = Windows {
        strides: [2, 1],
        dilation: [1, 2],
        padding: Padding::Zeros([1, 0], [2, 1]),
        groups: 2,
    };
    for weight_norm in [false, true] {
        let options = Conv2d {
            windows,
            weight_norm,
            ..Conv2d::default()
        };
        let model = network(Port::floats("x", [4, 5, 2]), move |scope, x| {
            conv2d(scope, "conv", x, 4, [2, 3], &options)
                .tanh()
                .mean(&[1])
        });
        check("conv2d", Mode::Evaluate, model);
    }
    let options = Conv1d {
        stride: 2,
        dilation: 2,
        padding: [3, 0],
        groups: 2,
        ..Conv1d::default()
    };
    let model = network(Port::floats("x", [7, 4]), move |scope, x| {
        conv1d(scope, "conv", x, 2, 3, &options).sigmoid()
    });
    check("conv1d", Mode::Evaluate, model);
}

#[test]
fn normalisations() {
    let port = || Port::floats("x", [3]);
    for mode in [Mode::Train, Mode::Evaluate] {
        let model = network(port(), |scope, x| {
            let h = dense(scope, "fc", x, 4, &Dense::default());
            batch_norm(scope, "norm", h, BatchNorm::default()).tanh()
        });
        check("batch_norm", mode, model);
    }
    check(
        "layer_norm",
        Mode::Evaluate,
        network(port(), |scope, x| {
            let h = dense(scope, "fc", x, 4, &Dense::default());
            layer_norm(scope, "norm", h).tanh()
        }),
    );
    check(
        "group_norm",
        Mode::Evaluate,
        network(Port::floats("x", [2, 3]), |scope, x| {
            let h = dense(scope, "fc", x, 4, &Dense::default());
            group_norm(scope, "norm", h, 2).tanh()
        }),
    );
}

#[test]
fn activations() {
    for name in Activation::NAMES {
        let activation: Activation = name.parse().expect("a name");
        let model = network(Port::floats("x", [2]), move |scope, x| {
            activation.apply(dense(scope, "fc", x, 3, &Dense::default()))
        });
        check(name, Mode::Evaluate, model);
    }
    let text = "elu"
        .parse::<Activation>()
        .expect_err("no name")
        .to_string();
    assert!(
        text.contains("`activation` is elu; expected relu, tanh"),
        "{text}"
    );
}

#[test]
fn recurrent_layers() {
    let port = || Port::floats("x", [3, 2]);
    for activation in [Activation::Tanh, Activation::Softplus] {
        let model = network(port(), move |scope, x| {
            rnn(scope, "rnn", x, 3, activation).states
        });
        check("rnn", Mode::Evaluate, model);
    }
    let model = network(port(), |scope, x| gru(scope, "gru", x, 3).states);
    check("gru", Mode::Evaluate, model);
    let model = network(port(), |scope, x| {
        let below = lstm(scope, "lstm1", x, 2).states;
        lstm(scope, "lstm2", below, 2).last
    });
    check("lstm", Mode::Evaluate, model);
}

#[test]
fn attention() {
    for causal in [false, true] {
        let options = Attention {
            causal,
            dropout: 0.0,
        };
        let model = network(Port::floats("x", [3, 4]), move |scope, x| {
            self_attention(scope, "attention", x, 2, options)
        });
        check("attention", Mode::Evaluate, model);
    }
    for norm_first in [false, true] {
        let options = EncoderLayer {
            feedforward: 3,
            dropout: 0.2,
            norm_first,
            ..EncoderLayer::new(4, 2)
        };
        let model = network(Port::floats("x", [3, 4]), move |scope, x| {
            encoder_layer(scope, "layer", x, options)
        });
        check("encoder", Mode::Train, model);
    }
}

/// What lies after a step does not change it.
#[test]
fn causal_attention_sees_no_later_step() {
    let options = Attention {
        causal: true,
        dropout: 0.0,
    };
    let model = network(Port::floats("x", [4, 6]), move |scope, x| {
        self_attention(scope, "attention", x, 3, options)
    });
    let mut case = Case::new(model, Loss::Squared, Mode::Evaluate, 1);
    let w = case.parameters();
    let before = case.output(&w);
    for step in 0..4 {
        let quadric_autodiff::Array::Float(x) = &mut case.inputs[0] else {
            panic!("real numbers");
        };
        x[step * 6 + 2] += 1.0;
        let after = case.output(&w);
        assert_eq!(after[..step * 6], before[..step * 6]);
        assert_ne!(after[step * 6..][..6], before[step * 6..][..6]);
        case = Case::new(case.network, Loss::Squared, Mode::Evaluate, 1);
    }
}

#[test]
fn embeddings_and_pooling() {
    let model = network(Port::indices("x", [4]), |scope, x| {
        let h = embedding(scope, "table", x, 3, 2).tanh();
        dense(scope, "fc", h, 2, &Dense::default())
    });
    check("embedding", Mode::Evaluate, model);
    let model = network(Port::floats("x", [4, 3, 1]), |scope, x| {
        let h = conv2d(scope, "conv", x, 2, [2, 1], &Conv2d::default()).tanh();
        global_avg_pool(h).concat(&[global_max_pool(h)], 1)
    });
    check("pooling", Mode::Evaluate, model);
}

/// Dropout is the same in value, gradient and Hessian; without training it does nothing, and training needs a key.
#[test]
fn dropout_in_training() {
    let model = || {
        network(Port::floats("x", [3]), |scope, x| {
            let h = dense(scope, "fc1", x, 8, &Dense::default()).tanh();
            dense(scope, "fc2", dropout(scope, h, 0.4), 2, &Dense::default())
        })
    };
    check("dropout", Mode::Train, model());
    let plain = network(Port::floats("x", [3]), |scope, x| {
        let h = dense(scope, "fc1", x, 8, &Dense::default()).tanh();
        dense(scope, "fc2", h, 2, &Dense::default())
    });
    assert!(model().is_random() && !plain.is_random());
    for (network, mode, inputs) in [
        (&model(), Mode::Train, 4),
        (&model(), Mode::Evaluate, 3),
        (&plain, Mode::Train, 3),
    ] {
        let program = network.program(2, mode).expect("shapes fit");
        assert_eq!(program.inputs().len(), inputs);
    }
    let plain = Case::new(plain, Loss::Squared, Mode::Train, 3);
    let w = plain.parameters();
    let output = |mode: Mode, key: [i32; 2]| {
        let mut case = Case::new(model(), Loss::Squared, mode, 3);
        case.key = key;
        case.output(&w)
    };
    assert_eq!(output(Mode::Evaluate, [1, 0]), plain.output(&w));
    assert_eq!(output(Mode::Train, [1, 0]), output(Mode::Train, [1, 0]));
    assert_ne!(output(Mode::Train, [1, 0]), output(Mode::Train, [1, 1]));
    let traced = Program::trace(|t| {
        let network = model();
        let call = Call {
            parameters: t.input("w", [network.layout().len()]),
            buffers: t.fill(0.0, [0]),
            inputs: &[t.input("x", [2, 3])],
            mode: Mode::Train,
            key: None,
        };
        network.trace(t, call).outputs
    });
    let text = traced.expect_err("no key").to_string();
    assert!(
        text.contains("dropout: the network is called without a key"),
        "{text}"
    );
}

/// The share of entries that stay, their value, and that no two draws are alike.
#[test]
fn masks_have_the_rate() {
    let (n, rate) = (200, 0.3);
    let model = network(Port::floats("x", [n]), move |scope, x| {
        let first = dropout(scope, x, rate);
        first.concat(&[dropout(scope, x, rate)], 1)
    });
    let program = model.program(n, Mode::Train).expect("shapes fit");
    let mut out = vec![f64::NAN; 2 * n * n];
    let ones = vec![1.0; n * n];
    let inputs = [
        Data::Float(&[][..]),
        Data::Float(&[]),
        Data::Float(&ones),
        Data::Index(&[17, 4]),
    ];
    let mut compiled = Executable::new(&program).expect("a real output");
    compiled.run(&inputs, &mut [&mut out]).expect("inputs fit");
    let kept: Vec<f64> = out.iter().map(|v| f64::from(*v != 0.0)).collect();
    assert!(
        out.iter()
            .all(|v| *v == 0.0 || (v * (1.0 - rate) - 1.0).abs() < 1e-6)
    );
    // Five standard errors.
    let error = 5.0 * (rate * (1.0 - rate) / (n * n) as f64).sqrt();
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / (n * n) as f64;
    let mask = |i: usize, which: usize| kept[i / n * 2 * n + which * n + i % n];
    let shares = [0, 1].map(|which| mean(&mut (0..n * n).map(|i| mask(i, which))));
    for share in shares {
        assert!((share - (1.0 - rate)).abs() < error, "{share}");
    }
    let centred = |i: usize, which: usize| mask(i, which) - (1.0 - rate);
    let pairs = mean(&mut (0..n * n).map(|i| centred(i, 0) * centred(i, 1)));
    assert!(pairs.abs() < error, "{pairs}");
    let neighbours = mean(&mut (1..n * n).map(|i| centred(i, 0) * centred(i - 1, 0)));
    assert!(neighbours.abs() < error, "{neighbours}");
}

type Body = for<'t> fn(&Scope<'t>, Tensor<'t>) -> Tensor<'t>;

/// What a body does with a batch `(2, 3, 4)`, and the message.
fn wrong_uses() -> [(Body, &'static str); 9] {
    [
        (
            |s, x| group_norm(s, "a", x, 3),
            "group_norm: [2, 3, 4] has no 3 groups of channels",
        ),
        (
            |s, x| self_attention(s, "a", x, 3, Attention::default()),
            "self_attention: a width of 4 cannot be divided among 3 heads",
        ),
        (
            |s, x| self_attention(s, "a", x.sum(&[1]), 2, Attention::default()),
            "self_attention: takes (n, steps, width), not [2, 4]",
        ),
        (
            |s, x| lstm(s, "a", x.sum(&[1]), 2).last,
            "recurrent layer: takes (n, steps, features) with a step, not [2, 4]",
        ),
        (
            |s, x| dropout(s, x, 1.0),
            "dropout: the rate is 1; it must be at least 0 and less than 1",
        ),
        (
            |s, x| {
                let groups = 0;
                let options = Conv1d {
                    groups,
                    ..Conv1d::default()
                };
                conv1d(s, "a", x, 2, 2, &options)
            },
            "conv1d: 4 channels and 2 outputs cannot be in 0 groups",
        ),
        (
            |s, x| conv2d(s, "a", x, 2, [1, 1], &Conv2d::default()),
            "conv2d: takes (n, h, w, in)",
        ),
        (
            |s, x| conv1d(s, "a", x, 2, 4, &Conv1d::default()),
            "convolution",
        ),
        (
            |s, x| {
                dense(
                    s,
                    "a",
                    dense(s, "a", x, 3, &Dense::default()),
                    3,
                    &Dense::default(),
                )
            },
            "parameter: `a.weight` of shape [3, 3], before [4, 3]",
        ),
    ]
}

#[test]
fn wrong_uses_are_refused() {
    for (body, expected) in wrong_uses() {
        let network = Network::new([Port::floats("x", [3, 4])], move |scope, x| {
            vec![body(scope, x[0])]
        });
        let text = network.expect_err(expected).to_string();
        assert!(text.contains(expected), "{text}");
        // The line of the model, not of the layer.
        assert!(text.contains("tests/layers.rs:"), "{text}");
    }
    let model = network(Port::floats("x", [4]), |scope, x| {
        batch_norm(scope, "norm", x, BatchNorm::default())
    });
    let text = model.program(1, Mode::Train).expect_err("one").to_string();
    assert!(
        text.contains("batch_norm: 1 values of each channel have no variance"),
        "{text}"
    );
    model
        .program(1, Mode::Evaluate)
        .expect("running statistics");
}

//! Every layer by derivatives: gradients against differences of the loss, Hessians against differences of gradients.

mod common;

use common::Case;
use quadric_autodiff::{Padding, Tensor, Windows};
use quadric_nn::layers::{
    Activation, BatchNorm, Conv1d, Conv2d, Dense, batch_norm, conv1d, conv2d, dense, group_norm,
    layer_norm,
};
use quadric_nn::{Loss, Mode, Network, Port, Scope};

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

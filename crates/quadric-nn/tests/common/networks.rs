//! A network of every model and every layer, for what must work with all of them.

use quadric_autodiff::{Padding, Tensor, Windows};
use quadric_nn::layers::{
    Activation, Attention, BatchNorm, Conv1d, Conv2d, Dense, EncoderLayer, batch_norm, conv1d,
    conv2d, dense, dropout, embedding, encoder_layer, global_avg_pool, global_max_pool, group_norm,
    gru, layer_norm, lstm, rnn, self_attention,
};
use quadric_nn::models::{self, EncoderClassifier, Resnet};
use quadric_nn::{Network, Port, Scope};

type Named = (&'static str, Network);

fn one(
    name: &'static str,
    port: Port,
    body: impl for<'t> Fn(&Scope<'t>, Tensor<'t>) -> Tensor<'t> + Send + Sync + 'static,
) -> Named {
    let network = Network::new([port], move |scope, x| vec![body(scope, x[0])]);
    (name, network.unwrap_or_else(|e| panic!("{name}: {e}")))
}

pub(crate) fn all() -> Vec<Named> {
    [
        ready(),
        dense_and_pointwise(),
        images(),
        sequences(),
        others(),
    ]
    .concat()
}

fn ready() -> Vec<Named> {
    let small = Resnet {
        depth: 8,
        image: [8, 8, 2],
        width: 4,
        ..Resnet::default()
    };
    let plain = Resnet {
        batch_norm: false,
        residual: false,
        ..small
    };
    let encoder = EncoderClassifier {
        steps: 5,
        features: 3,
        width: 8,
        layers: 2,
        layer: EncoderLayer {
            causal: true,
            dropout: 0.1,
            ..EncoderLayer::new(8, 2)
        },
        classes: 4,
    };
    let after = EncoderClassifier {
        layer: EncoderLayer {
            norm_first: false,
            activation: Activation::Relu,
            ..EncoderLayer::new(8, 4)
        },
        ..encoder
    };
    let all = [
        ("mlp", models::mlp(&[5, 7, 3], Activation::Tanh)),
        ("lenet", models::lenet()),
        ("autoencoder", models::autoencoder(&[20, 16, 3])),
        ("resnet8", models::resnet(small)),
        ("resnet8_plain", models::resnet(plain)),
        ("lstm_classifier", models::lstm_classifier(6, 3, 5, 4)),
        ("encoder", models::encoder_classifier(encoder)),
        ("encoder_norm_after", models::encoder_classifier(after)),
    ];
    let built = all.into_iter();
    built
        .map(|(name, n)| (name, n.unwrap_or_else(|e| panic!("{name}: {e}"))))
        .collect()
}

fn dense_and_pointwise() -> Vec<Named> {
    let normal = Dense {
        weight_norm: true,
        ..Dense::default()
    };
    let bare = Dense {
        bias: false,
        ..Dense::default()
    };
    vec![
        one("dense_weight_norm", Port::floats("x", [3]), move |s, x| {
            dense(s, "fc", x, 4, &normal)
        }),
        one("dense_bare", Port::floats("x", [2, 3]), move |s, x| {
            dense(s, "fc", x, 4, &bare)
        }),
        one("one_output", Port::floats("x", [3]), |s, x| {
            dense(s, "fc", x, 1, &Dense::default())
        }),
        one("activations", Port::floats("x", [4]), |s, x| {
            let names = Activation::NAMES.iter();
            let each = names.map(|name| {
                let f: Activation = name.parse().expect("a name of the list");
                f.apply(dense(s, name, x, 3, &Dense::default()))
            });
            let each: Vec<Tensor<'_>> = each.collect();
            each[0].concat(&each[1..], 1)
        }),
        one("layer_norm", Port::floats("x", [3, 4]), |s, x| {
            layer_norm(s, "norm", x)
        }),
        one("batch_norm_1d", Port::floats("x", [4]), |s, x| {
            batch_norm(s, "norm", x, BatchNorm::default())
        }),
        one("dropout", Port::floats("x", [4]), |s, x| {
            dropout(s, dense(s, "fc", x, 3, &Dense::default()), 0.5)
        }),
        one("embedding", Port::indices("ids", [6]), |s, x| {
            embedding(s, "table", x, 5, 3).mean(&[1])
        }),
    ]
}

fn images() -> Vec<Named> {
    let windows = Windows {
        strides: [2, 1],
        dilation: [1, 2],
        padding: Padding::Zeros([1, 0], [2, 1]),
        groups: 2,
    };
    let pools = Windows {
        strides: [2, 2],
        padding: Padding::Zeros([1, 0], [0, 1]),
        ..Windows::default()
    };
    let wide = Windows {
        dilation: [2, 1],
        ..Windows::default()
    };
    let grouped = Conv2d {
        windows,
        weight_norm: true,
        ..Conv2d::default()
    };
    let bare = Conv2d {
        bias: false,
        ..Conv2d::default()
    };
    vec![
        one("conv2d", Port::floats("x", [4, 5, 2]), move |s, x| {
            conv2d(s, "conv", x, 4, [2, 3], &grouped)
        }),
        one("conv_norm", Port::floats("x", [5, 5, 2]), move |s, x| {
            let h = conv2d(s, "conv1", x, 3, [3, 3], &bare);
            let h = batch_norm(s, "bn", h, BatchNorm::default()).relu();
            let h = h + conv2d(s, "conv2", h, 3, [1, 1], &Conv2d::default());
            global_avg_pool(h)
        }),
        one("pools", Port::floats("x", [6, 5, 3]), move |s, x| {
            let h = conv2d(s, "conv", x, 4, [1, 1], &Conv2d::default());
            let largest = h.max_pool([2, 3], pools).max_pool([2, 1], wide);
            let means = h.avg_pool([2, 2], pools).avg_pool([2, 1], wide);
            largest.sum(&[1, 2]) + means.sum(&[1, 2])
        }),
        one("global_max", Port::floats("x", [3, 4, 2]), |s, x| {
            let h = conv2d(s, "conv", x, 3, [2, 2], &Conv2d::default());
            global_max_pool(h)
        }),
        one("group_norm", Port::floats("x", [3, 2, 6]), |s, x| {
            group_norm(s, "norm", x, 3)
        }),
    ]
}

fn sequences() -> Vec<Named> {
    let conv = Conv1d {
        stride: 2,
        dilation: 2,
        padding: [3, 0],
        groups: 2,
        ..Conv1d::default()
    };
    let causal = Attention {
        causal: true,
        ..Attention::default()
    };
    vec![
        one("conv1d", Port::floats("x", [7, 4]), move |s, x| {
            conv1d(s, "conv", x, 2, 3, &conv)
        }),
        one("rnn", Port::floats("x", [4, 3]), |s, x| {
            rnn(s, "rnn", x, 5, Activation::Relu).states
        }),
        one("gru", Port::floats("x", [4, 3]), |s, x| {
            let h = gru(s, "gru", x, 5);
            h.states.mean(&[1]) + h.last
        }),
        one("lstm_stack", Port::floats("x", [4, 3]), |s, x| {
            let h = lstm(s, "first", x, 4).states;
            // Backwards.
            lstm(s, "second", h.reverse(&[1]), 3).states.reverse(&[1])
        }),
        one("attention", Port::floats("x", [5, 6]), move |s, x| {
            self_attention(s, "attention", x, 3, causal)
        }),
        one("encoder_layer", Port::floats("x", [4, 6]), |s, x| {
            encoder_layer(s, "layer", x, EncoderLayer::new(6, 2))
        }),
    ]
}

/// Operations that no layer has, several inputs and outputs, examples along another axis.
fn others() -> Vec<Named> {
    let two = [
        Port::floats("left", [3]),
        Port {
            axis: 1,
            ..Port::floats("right", [3])
        },
    ];
    let two = Network::new(two, |s, x| {
        let h = dense(s, "fc", x[0], 3, &Dense::default());
        let y = h * x[1].transpose();
        vec![y, x[0], y.sum(&[1]), y]
    });
    let gathered = [Port::floats("x", [4]), Port::indices("at", [])];
    let gathered = Network::new(gathered, |s, x| {
        let h = dense(s, "fc", x[0], 5, &Dense::default());
        let hot = x[1].one_hot(5);
        vec![(h * hot).sum(&[-1]), h.cross_entropy(x[1])]
    });
    vec![
        ("two", two.expect("shapes fit")),
        ("gathered", gathered.expect("shapes fit")),
        one("functions", Port::floats("x", [4]), |s, x| {
            let h = dense(s, "fc", x, 4, &Dense::default());
            let p = h.square() + 0.5;
            let smooth = p.log() + p.log1p() + p.sqrt() + h.sin() * h.cos() + p.powf(1.3);
            let kinks = h.abs() + h.sign() * h.floor() + h.maximum(x).minimum(p);
            let chosen = h.less(x).select(h, x) * h.equal(x).select(x, h + x);
            smooth + kinks + chosen + p.powf(-1.0) / (h.exp() + 1.0)
        }),
        one("arrangements", Port::floats("x", [4, 3]), |s, x| {
            let w = dense(s, "fc", x, 3, &Dense::default());
            let parts = w.slice_steps(1, 0, 2, 2).pad(1, 1, 2).cumulative_sum(1);
            let turned = w.permute(&[2, 0, 1]).reverse(&[0]).pad(0, 0, 1);
            let turned = turned.slice(2, 1..4).permute(&[1, 2, 0]);
            let front = parts.slice(1, 0..3).concat(&[turned.slice(2, 0..3)], 1);
            front.matmul(w.transpose()).softmax(-1)
        }),
        one("own_gradient", Port::floats("x", [4]), |s, x| {
            // The slope of a potential by the input, and of the embedding of some rows.
            let h = dense(s, "fc", x, 3, &Dense::default()).softplus();
            let t = s.tracer();
            let table = s.parameter(
                "table",
                &[5, 2],
                quadric_core::Role::Plain,
                quadric_nn::Init::Normal(1.0),
            );
            let rows = table.gather(t.index_constant(&[3, 0, 3], [3]));
            let pull = t.grad(rows.square().sum_all(), &[table])[0];
            let slope = t.grad(h.sum_all(), &[x])[0];
            slope + pull.sum(&[0, 1])
        }),
    ]
}

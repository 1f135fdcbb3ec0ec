//! Ready networks: published numbers of parameters, and derivatives of small ones.

mod common;

use common::{Case, output_type};
use quadric_nn::layers::{Activation, EncoderLayer};
use quadric_nn::models::{
    EncoderClassifier, Resnet, autoencoder, encoder_classifier, lenet, lstm_classifier, mlp, resnet,
};
use quadric_nn::{Loss, Mode};

#[test]
fn numbers_of_parameters_are_those_published() {
    // He et al. 2016, table 6, counts 0.27, 0.46, 0.66, 0.85 million.
    for (depth, parameters) in [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018)] {
        let network = resnet(Resnet {
            depth,
            ..Resnet::default()
        })
        .expect("a depth");
        assert_eq!(network.layout().len(), parameters, "depth {depth}");
    }
    assert_eq!(lenet().expect("fixed sizes").layout().len(), 61_706);
    let network = mlp(&[784, 100, 10], Activation::Relu).expect("sizes");
    assert_eq!(network.layout().len(), 79_510);
}

#[test]
fn outputs_have_the_number_of_classes() {
    let network = resnet(Resnet::default()).expect("a depth");
    assert_eq!(output_type(&network, 2).shape[..], [2, 10]);
    assert_eq!(
        output_type(&lenet().expect("fixed sizes"), 2).shape[..],
        [2, 10]
    );
}

#[test]
fn small_residual_networks() {
    for (batch_norm, residual) in [(true, true), (false, true), (true, false), (false, false)] {
        let options = Resnet {
            depth: 8,
            image: [4, 5, 1],
            width: 1,
            classes: 3,
            batch_norm,
            residual,
        };
        let network = resnet(options).expect("a depth");
        let case = Case::new(network, Loss::CROSS_ENTROPY, Mode::Train, 3);
        case.check(&format!("{options:?}"));
    }
}

#[test]
fn wrong_options_are_refused() {
    for depth in [0, 2, 19, 1_000_000_000_000_000_004] {
        let wrong = resnet(Resnet {
            depth,
            ..Resnet::default()
        });
        let text = wrong.expect_err("no depth").to_string();
        assert!(
            text.contains(&format!("`depth` is {depth}; expected 6 n + 2")),
            "{text}"
        );
    }
    let wrong = resnet(Resnet {
        width: 0,
        ..Resnet::default()
    });
    assert!(
        wrong
            .expect_err("no width")
            .to_string()
            .contains("width: 0")
    );
    assert!(lstm_classifier(4, 0, 3, 3).is_err());
    assert!(autoencoder(&[3]).is_err());
    for sizes in [&[][..], &[3], &[3, 0, 2]] {
        let text = mlp(sizes, Activation::Tanh)
            .expect_err("no sizes")
            .to_string();
        assert!(text.contains("`sizes` is"), "{text}");
    }
}

#[test]
fn small_classifiers_of_sequences() {
    let network = lstm_classifier(4, 2, 3, 3).expect("sizes");
    assert_eq!(network.layout().len(), 12 * (2 + 3 + 1) + 3 * 4);
    Case::new(network, Loss::CROSS_ENTROPY, Mode::Evaluate, 3).check("lstm");
    for norm_first in [true, false] {
        let options = EncoderClassifier {
            steps: 3,
            features: 2,
            width: 4,
            layers: 1,
            layer: EncoderLayer {
                feedforward: 3,
                dropout: 0.3,
                norm_first,
                ..EncoderLayer::new(4, 2)
            },
            classes: 3,
        };
        let network = encoder_classifier(options).expect("sizes");
        let norms = if norm_first { 6 } else { 4 };
        let parameters = 12 + 12 + norms * 4 + 4 * 16 + 16 + 12 + 3 + 12 + 4 + 15;
        assert_eq!(network.layout().len(), parameters);
        Case::new(network, Loss::CROSS_ENTROPY, Mode::Train, 3).check("encoder");
    }
}

#[test]
fn small_autoencoder() {
    let network = autoencoder(&[5, 4, 2]).expect("sizes");
    let names: Vec<&str> = network
        .layout()
        .segments()
        .iter()
        .map(|s| &s.name[..])
        .collect();
    assert_eq!(names[6..], ["fc4.weight", "fc4.bias"]);
    let shapes = network.layout().segments().iter().step_by(2);
    let shapes: Vec<&[usize]> = shapes.map(|s| &s.shape[..]).collect();
    assert_eq!(shapes, [[5, 4], [4, 2], [2, 4], [4, 5]]);
    Case::new(network, Loss::Bernoulli, Mode::Evaluate, 3).check("autoencoder");
}

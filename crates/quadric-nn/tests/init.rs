//! What parameters start from.

use quadric_core::Role;
use quadric_nn::layers::{Dense, dense};
use quadric_nn::models::{MARTENS, autoencoder};
use quadric_nn::{Init, Network, Port};

/// The values of one parameter.
fn values(shape: &[usize], init: Init) -> Vec<f64> {
    let shape = shape.to_vec();
    let network = Network::new([Port::floats("x", [1])], move |scope, x| {
        let p = scope.parameter("layer.p", &shape, Role::Weight, init.clone());
        vec![x[0].sum_all() * p.sum_all()]
    });
    network.expect("shapes fit").initial(11)
}

#[test]
fn moments_are_those_of_the_distributions() {
    let n = 40_000;
    for (init, variance, fourth) in [
        (Init::Uniform(3.0), 3.0, 81.0 / 5.0),
        (Init::Normal(2.0), 4.0, 48.0),
        (Init::glorot_uniform(2, 4), 1.0 / 3.0, 1.0 / 5.0),
        (Init::he_normal(8), 0.25, 3.0 / 16.0),
        (Init::fan_in_uniform(4), 1.0 / 12.0, 1.0 / 80.0),
    ] {
        let v = values(&[n], init.clone());
        let moment = |k: i32| v.iter().map(|x| x.powi(k)).sum::<f64>() / n as f64;
        // Five standard errors.
        let mean_error = 5.0 * (variance / n as f64).sqrt();
        assert!(moment(1).abs() < mean_error, "{init:?}: mean {}", moment(1));
        let error = 5.0 * ((fourth - variance * variance) / n as f64).sqrt();
        let found = moment(2);
        assert!(
            (found - variance).abs() < error,
            "{init:?}: variance {found}"
        );
    }
}

#[test]
fn sparse_columns_have_so_many_entries() {
    let v = values(&[40, 300], Init::Sparse(15));
    for column in 0..300 {
        let filled = (0..40).filter(|row| v[row * 300 + column] != 0.0).count();
        assert_eq!(filled, 15, "column {column}");
    }
    for row in 0..40 {
        let filled = v[row * 300..][..300].iter().filter(|x| **x != 0.0).count();
        // 112.5 of 300 on the average, with deviation 8.4.
        assert!((70..155).contains(&filled), "row {row}: {filled}");
    }
    let squares = v.iter().map(|x| x * x).sum::<f64>() / 4500.0;
    assert!(
        (squares - 1.0).abs() < 5.0 * (2.0_f64 / 4500.0).sqrt(),
        "{squares}"
    );
    assert!(values(&[3, 2], Init::Sparse(15)).iter().all(|x| *x != 0.0));
}

#[test]
fn weight_normalisation_starts_with_the_plain_weights() {
    let of = |weight_norm: bool| {
        let network = Network::new([Port::floats("x", [3])], move |scope, x| {
            let options = Dense {
                weight_norm,
                ..Dense::default()
            };
            vec![dense(scope, "fc", x[0], 2, &options)]
        });
        network.expect("shapes fit")
    };
    let network = of(true);
    let start: Vec<f64> = network.initial(4);
    let piece = |name: &str| &start[network.layout().find(name).expect("a name").range()];
    let (g, v) = (piece("fc.weight_g"), piece("fc.weight_v"));
    for column in 0..2 {
        let norm = [0, 1, 2].map(|row| v[row * 2 + column]);
        let norm = norm.iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!((g[column] - norm).abs() < 1e-15, "{} and {norm}", g[column]);
    }
}

/// Values depend on the seed and the name only.
#[test]
fn values_do_not_depend_on_other_parameters() {
    let with = |first: usize| {
        let network = Network::new([Port::floats("x", [3])], move |scope, x| {
            let options = Dense::default();
            let h = dense(scope, "a", x[0], first, &options).sum(&[1]).expand(1);
            vec![dense(scope, "b", h, 2, &options)]
        });
        let network = network.expect("shapes fit");
        let b = network.layout().find("b.weight").expect("a name").range();
        let start = |seed| network.initial::<f64>(seed)[b.clone()].to_vec();
        [start(1), start(2)]
    };
    let [one, two] = with(2);
    assert_eq!([one.clone(), two.clone()], with(5));
    assert_ne!(one, two);
}

#[test]
fn the_autoencoder_is_that_of_martens() {
    let network = autoencoder(&MARTENS).expect("sizes");
    assert_eq!(network.layout().len(), 2_837_314);
    let start: Vec<f32> = network.initial(0);
    let filled = start.iter().filter(|v| **v != 0.0).count();
    let units = 1000 + 500 + 250 + 30 + 250 + 500 + 1000 + 784;
    assert_eq!(filled, 15 * units);
}

//! Curvature analyses as they look for a small residual network, made of formulas.
#![allow(dead_code, reason = "each test binary uses its own part")]

use quadric_report::{
    Checkpoint, Condition, Curvature, Density, Diagonal, Eigenvalue, Estimate, Evolution,
    Knowledge, Landscape, Layer, Line, Plane, Quantiles, Shape, Solution, Spectrum, Trace,
};

/// A density with most of its mass near zero, a tail, and outliers at `top`; negative values down to `-least`.
fn density(top: &[f64], least: f64) -> Density {
    let largest = top[0];
    let width = 0.006 * largest;
    let share = 2e-4;
    let bulk = 1.0 - share * top.len() as f64;
    let gauss =
        |x: f64, at: f64, s: f64| (-0.5 * ((x - at) / s).powi(2)).exp() / (s * 2.506_628_274_631);
    let pdf = |x: f64| {
        let tail = match x {
            x if x > 0.0 => (-x / (0.06 * largest)).exp() / (0.06 * largest),
            x if least > 0.0 => (x / (0.2 * least)).exp() / (0.2 * least) * 0.2,
            _ => 0.0,
        };
        let outliers: f64 = top.iter().map(|t| share * gauss(x, *t, width)).sum();
        0.9 * bulk * gauss(x, 0.0, width) + 0.08 * bulk * tail + outliers
    };
    let (from, to) = (-1.2 * least - 3.0 * width, 1.05 * largest);
    let grid: Vec<f64> = (0..600)
        .map(|i| from + (to - from) * f64::from(i) / 599.0)
        .collect();
    let values: Vec<f64> = grid.iter().map(|x| pdf(*x)).collect();
    let mut nodes: Vec<f64> = (0..12)
        .map(|i| 0.3 * largest * (f64::from(i) / 12.0).powi(2))
        .collect();
    nodes.extend((1..4).map(|i| -least * f64::from(i) / 4.0));
    let mut weights: Vec<f64> = nodes
        .iter()
        .map(|x| (-(x.abs()) / (0.02 * largest)).exp())
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|w| *w *= bulk / sum);
    nodes.extend(top);
    weights.extend(top.iter().map(|_| share));
    Density {
        low: values.iter().map(|v| 0.6 * v).collect(),
        high: values.iter().map(|v| 1.5 * v).collect(),
        nodes,
        weights,
        grid,
        pdf: values,
        near_zero: None,
        level: 0.95,
        starts: 8,
        steps: 60,
    }
}

fn eigenvalues(values: &[f64], open: usize) -> Vec<Eigenvalue> {
    let n = values.len();
    let one = |(i, value): (usize, &f64)| Eigenvalue {
        value: *value,
        residual: if i + open >= n {
            0.08 * value.abs()
        } else {
            4e-4 * value.abs()
        },
        converged: i + open < n,
    };
    values.iter().enumerate().map(one).collect()
}

const LAYERS: [(&str, u64); 22] = [
    ("conv1.weight", 432),
    ("bn1.weight", 16),
    ("bn1.bias", 16),
    ("layer1.0.conv1.weight", 2304),
    ("layer1.0.conv2.weight", 2304),
    ("layer1.1.conv1.weight", 2304),
    ("layer1.1.conv2.weight", 2304),
    ("layer1.2.conv1.weight", 2304),
    ("layer1.2.conv2.weight", 2304),
    ("layer2.0.conv1.weight", 4608),
    ("layer2.0.conv2.weight", 9216),
    ("layer2.1.conv1.weight", 9216),
    ("layer2.1.conv2.weight", 9216),
    ("layer2.2.conv1.weight", 9216),
    ("layer2.2.conv2.weight", 9216),
    ("layer3.0.conv1.weight", 18432),
    ("layer3.0.conv2.weight", 36864),
    ("layer3.1.conv1.weight", 36864),
    ("layer3.1.conv2.weight", 36864),
    ("layer3.2.conv2.weight", 36864),
    ("linear.weight", 640),
    ("linear.bias", 10),
];

fn spectrum(scale: f64, least: f64, open: usize) -> Spectrum {
    let top: Vec<f64> = (0..10)
        .map(|i| scale * 41.2 * 0.8f64.powi(i) + scale * 0.3)
        .collect();
    let bottom: Vec<f64> = (0..5).map(|i| -least * 0.82f64.powi(i)).collect();
    let layers: Vec<Layer> = LAYERS
        .iter()
        .enumerate()
        .map(|(i, (name, parameters))| {
            let wave = 1.0 + 0.6 * (2.1 * i as f64).sin();
            let trace =
                scale * wave * (3.0 + 60.0 / (1.0 + i as f64) + if i == 20 { 50.0 } else { 0.0 });
            Layer {
                name: (*name).to_owned(),
                parameters: *parameters,
                trace,
                low: 0.9 * trace,
                high: 1.11 * trace,
                top: Some(0.2 * trace),
            }
        })
        .collect();
    let trace = layers.iter().map(|l| l.trace).sum();
    Spectrum {
        density: Some(density(&top, least)),
        top: eigenvalues(&top, open),
        bottom: if least > 0.0 {
            eigenvalues(&bottom, open)
        } else {
            Vec::new()
        },
        trace: Some(Trace {
            value: trace,
            low: 0.97 * trace,
            high: 1.03 * trace,
            level: 0.95,
            products: 0,
            draws: 240,
        }),
        layers,
        effective_dimension: Some(118.0),
        condition: (least > 0.0).then_some(3.2e7),
        ..Spectrum::default()
    }
}

fn landscape() -> Landscape {
    let steps: Vec<f64> = (0..41).map(|i| -0.5 + f64::from(i) / 40.0).collect();
    let line = |direction: &str, slope: f64, curvature: f64, quartic: f64| {
        let model: Vec<f64> = steps
            .iter()
            .map(|t| 0.0312 + slope * t + 0.5 * curvature * t * t)
            .collect();
        let values = steps
            .iter()
            .zip(&model)
            .map(|(t, m)| Some(m + quartic * t.powi(4) + 0.4 * slope * t.powi(3)));
        Line {
            direction: direction.to_owned(),
            steps: steps.clone(),
            values: values.collect(),
            model,
        }
    };
    let first: Vec<f64> = (0..31).map(|i| -0.6 + 1.2 * f64::from(i) / 30.0).collect();
    let loss = |x: f64, y: f64| {
        0.0312 + 20.6 * x * x + 6.0 * y * y + 30.0 * (x * y).powi(2) + 4.0 * x.powi(3)
            - 3.0 * y.powi(3)
    };
    let row = |y: f64| {
        first
            .iter()
            .map(|x| Some(loss(*x, y)).filter(|_| x.hypot(y) < 0.8))
            .collect()
    };
    Landscape {
        lines: vec![
            line("eigenvector 1", 0.02, 41.5, -40.0),
            line("eigenvector 2", 0.01, 33.2, -20.0),
            line("gradient", -2.0, 14.0, 10.0),
            line("most negative eigenvector", -0.004, -0.9, 6.0),
        ],
        plane: Some(Plane {
            directions: ["eigenvector 1".to_owned(), "eigenvector 2".to_owned()],
            values: first.iter().map(|y| row(*y)).collect(),
            second: first.clone(),
            first,
        }),
    }
}

/// All four matrices, two eigenvalues that have not converged, a landscape.
pub(crate) fn analysis() -> Curvature {
    Curvature {
        model: "resnet20".to_owned(),
        parameters: 272_474,
        examples: 10_000,
        loss: 0.031_204_559_12,
        accuracy: Some(0.9173),
        gradient_norm: 0.0123,
        hessian: Some(spectrum(1.0, 0.9, 1)),
        ggn: Some(spectrum(0.93, 0.0, 0)),
        fisher: None,
        sampled_fisher: None,
        empirical_fisher: None,
        covariance: Some(spectrum(0.11, 0.0, 0)),
        noise_scale: Some(Estimate {
            value: 5400.0,
            low: 5100.0,
            high: 5700.0,
            level: 0.95,
        }),
        hessian_noise_scale: Some(Estimate {
            value: 2300.0,
            low: 2100.0,
            high: 2500.0,
            level: 0.95,
        }),
        gradient_alignment: Some(0.62),
        landscape: Some(landscape()),
        gradient_equivalents: 1834.0,
        seconds: 512.3,
    }
}

/// The shapes of a matrix of some thousand parameters, one of which does not exist and one of which is too large.
fn shapes(scale: f64) -> Vec<Shape> {
    let known = |shape: &str, numbers: u64, error: f64, without: &[&str]| Shape {
        shape: shape.to_owned(),
        numbers: Some(numbers),
        gradients: Some(numbers as f64 / 100.0),
        trace: Some(40.0 * scale),
        largest: Some(9.0 * scale),
        log_det: Some(-1234.5),
        error: Some(Estimate {
            value: error,
            low: 0.9 * error,
            high: 1.1 * error,
            level: 0.95,
        }),
        cosine: Some(1.0 - error),
        without: without.iter().map(|n| (*n).to_owned()).collect(),
        ..Shape::default()
    };
    let absent = |shape: &str, why: &str, bytes: Option<u64>| Shape {
        shape: shape.to_owned(),
        absent: Some(why.to_owned()),
        bytes,
        ..Shape::default()
    };
    let many = Some(2_969_682_027_040);
    vec![
        absent("full", "it takes 2969682027040 bytes", many),
        known("layers", 6_000_000, 0.2, &[]),
        known("kronecker", 60_000, 0.31, &["bn1.weight", "bn1.bias"]),
        absent("ekfac", "only Fisher matrices have it", None),
        known("diagonal", 272_474, 0.93, &[]),
        known("low-rank", 4_359_600, 0.12, &[]),
    ]
}

/// The same analysis with diagonals, shapes and conditions of the Hessian, whose diagonal is estimated, and of Gauss-Newton.
pub(crate) fn granular() -> Curvature {
    let mut c = analysis();
    for (matrix, exact) in [(&mut c.hessian, false), (&mut c.ggn, true)] {
        let m = matrix.as_mut().expect("it was analysed");
        let quantiles = |l: &Layer| {
            let mean = l.trace / l.parameters as f64;
            Quantiles {
                name: l.name.clone(),
                parameters: l.parameters,
                min: if exact { 0.0 } else { -0.3 * mean },
                q05: 0.01 * mean,
                median: 0.4 * mean,
                q95: 3.0 * mean,
                max: 20.0 * mean,
                error: if exact { 0.0 } else { 0.2 * mean },
            }
        };
        m.diagonal = Some(Diagonal {
            exact,
            level: if exact { 1.0 } else { 0.95 },
            layers: m.layers.iter().map(quantiles).collect(),
        });
        m.shapes = shapes(if exact { 0.93 } else { 1.0 });
        m.damping = Some(0.41);
        m.damped_condition = Some(match exact {
            true => Condition {
                known: Knowledge::Bound,
                value: Some(101.0),
                ends: None,
            },
            false => Condition {
                known: Knowledge::Indefinite,
                ..Condition::default()
            },
        });
        m.solution = Some(Solution {
            residual: Some(1e-4),
            unknown: None,
        });
    }
    c
}

/// A training over which curvature first rises and then falls.
pub(crate) fn training() -> Evolution {
    let one = |(i, epoch): (usize, &u32)| {
        let t = f64::from(*epoch) / 90.0;
        let scale = 0.15 + 1.6 * t * (1.0 - t) + 0.1 * t;
        let mut report = analysis();
        report.landscape = None;
        report.hessian = Some(spectrum(
            scale,
            0.2 + 2.0 * (1.0 - t).powi(2),
            usize::from(i == 2),
        ));
        report.ggn = Some(spectrum(0.9 * scale, 0.0, 0));
        report.covariance = None;
        report.loss = 2.3 * (-4.0 * t).exp() + 0.03;
        report.accuracy = Some(0.92 - 0.82 * (-5.0 * t).exp());
        Checkpoint {
            name: format!("epoch {epoch}"),
            step: Some(f64::from(*epoch)),
            report,
        }
    };
    Evolution {
        title: "Curvature along the training of resnet20".to_owned(),
        subtitle: "CIFAR-10, 10000 examples, evaluation mode".to_owned(),
        axis: "epoch".to_owned(),
        checkpoints: [0, 5, 15, 30, 60, 90].iter().enumerate().map(one).collect(),
    }
}

/// Names that try to be markup, script, terminal commands and turned text.
pub(crate) fn hostile() -> Curvature {
    let mut c = granular();
    let names = [
        "</script><b>&\"'".to_owned(),
        "<img src=x onerror=\"console.error('ran')\">".to_owned(),
        "<a href=\"http://evil.example\">a</a>\u{202e}\u{1b}[31m\nnew".to_owned(),
        "long ".repeat(100_000),
    ];
    c.model.clone_from(&names[1]);
    for matrix in [&mut c.hessian, &mut c.ggn].into_iter().flatten() {
        for (layer, name) in matrix.layers.iter_mut().zip(&names) {
            layer.name.clone_from(name);
        }
        let diagonal = matrix.diagonal.as_mut().expect("it has one");
        for (layer, name) in diagonal.layers.iter_mut().zip(&names) {
            layer.name.clone_from(name);
        }
        matrix.shapes[1].without = names.to_vec();
        matrix.shapes[3].absent = Some(names[2].clone());
    }
    let landscape = c.landscape.as_mut().expect("it has one");
    for (line, name) in landscape.lines.iter_mut().zip(&names) {
        line.direction.clone_from(name);
    }
    let plane = landscape.plane.as_mut().expect("it has one");
    plane.directions = [names[0].clone(), names[2].clone()];
    c
}

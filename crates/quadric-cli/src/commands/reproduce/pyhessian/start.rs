//! Where trainings begin.

use super::measured::Variant;
use super::networks::network;
use crate::args::Start;
use quadric::autodiff::{Data, Executable, Program};
use quadric::core::{Error, ErrorKind, Result};
use quadric::nn::layers::BatchNorm;
use quadric::nn::{Call, Examples, Mode, Network};

/// Initial parameters. Without batch normalisation, each convolution is divided by the root mean square that its results would have
/// if those before it were normalised, over a batch: so both kinds of networks begin with signals of the same size (after Krähenbühl
/// et al., arXiv 1511.06856).
pub(super) fn parameters(
    variant: Variant,
    width: usize,
    start: Start,
    seed: u64,
    batch: &Examples<f32>,
) -> Result<Vec<f32>> {
    let plain = network(variant, width)?;
    let mut parameters: Vec<f32> = plain.initial(seed);
    if variant.batch_norm || start == Start::He {
        return Ok(parameters);
    }
    let twin = network(
        Variant {
            batch_norm: true,
            ..variant
        },
        width,
    )?;
    let statistics = statistics(&twin, seed, batch)?;
    for segment in plain.layout().segments() {
        let Some(norm) = normalisation(&segment.name) else {
            continue;
        };
        let of = |what: &str| {
            let name = format!("{norm}.{what}");
            let mut all = twin.buffers().segments().iter();
            let found = all.find(|s| s.name == name);
            found
                .map(|s| &statistics[s.range()])
                .ok_or_else(|| Error::new(ErrorKind::Data, format!("there is no buffer `{name}`")))
        };
        let (means, variances) = (of("running_mean")?, of("running_var")?);
        let squares = means.iter().zip(variances).map(|(m, v)| m * m + v);
        let size = (squares.sum::<f32>() / means.len() as f32).sqrt();
        if size > 0.0 {
            let weights = &mut parameters[segment.range()];
            weights.iter_mut().for_each(|w| *w /= size);
        }
    }
    Ok(parameters)
}

/// The normalisation behind the convolution with weights of this name.
fn normalisation(name: &str) -> Option<String> {
    let (before, number) = name.strip_suffix(".weight")?.rsplit_once("conv")?;
    Some(format!("{before}bn{number}"))
}

/// Means and variances of what goes into the normalisations of a network that begins, as its buffers are laid out.
fn statistics(network: &Network, seed: u64, batch: &Examples<f32>) -> Result<Vec<f32>> {
    let program = Program::trace(|t| {
        let parameters = t.input("parameters", [network.layout().len()]);
        // Running statistics from zero are shares of those of the batch.
        let buffers = t.fill(0.0, [network.buffers().len()]);
        let port = &network.inputs()[0];
        let call = Call {
            parameters,
            buffers,
            inputs: &[t.input(&port.name, port.of_batch(batch.count).shape)],
            mode: Mode::Train,
            key: None,
        };
        let share = BatchNorm::default().momentum;
        vec![network.trace(t, call).buffers / share]
    })?;
    let mut found = vec![0.0_f32; network.buffers().len()];
    let parameters: Vec<f32> = network.initial(seed);
    let point = [Data::Float(&parameters[..]), batch.inputs[0].data()];
    Executable::new(&program)?.run(&point, &mut [&mut found])?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quadric::autodiff::Array;

    /// The root mean square of the outputs of a network for a batch.
    fn size(network: &Network, mode: Mode, x: &[f32], batch: &Examples<f32>) -> f32 {
        let program = network.program(batch.count, mode).expect("a program");
        let buffers: Vec<f32> = network.initial_buffers();
        let [x, buffers] = [x, &buffers].map(Data::Float);
        let mut outputs = vec![0.0_f32; 10 * batch.count];
        let mut program = Executable::new(&program).expect("it compiles");
        let point = [x, buffers, batch.inputs[0].data()];
        program.run(&point, &mut [&mut outputs]).expect("it runs");
        let squares: f32 = outputs.iter().map(|v| v * v).sum();
        (squares / outputs.len() as f32).sqrt()
    }

    /// Signals of deep networks are about as large as with normalisation. Without the scales they explode with shortcuts, and vanish
    /// without.
    #[test]
    fn signals_begin_as_large_as_with_normalisation() {
        let batch = Examples {
            count: 32,
            inputs: vec![Array::Float(
                (0..32 * 64).map(|i| (i as f32).sin()).collect(),
            )],
            targets: Array::Index(vec![0; 32]),
        };
        let ratios = |residual: bool| {
            let of = |batch_norm: bool| Variant {
                depth: 26,
                batch_norm,
                residual,
            };
            let twin = network(of(true), 4).expect("a network");
            let expected = size(&twin, Mode::Train, &twin.initial::<f32>(0), &batch);
            [Start::Scaled, Start::He].map(|start| {
                let x = parameters(of(false), 4, start, 0, &batch).expect("a start");
                let plain = network(of(false), 4).expect("a network");
                let ratio = size(&plain, Mode::Evaluate, &x, &batch) / expected;
                println!("residual {residual}, {start:?}: {ratio} times");
                ratio
            })
        };
        let [scaled, he] = ratios(true);
        assert!((0.4..2.5).contains(&scaled) && he > 2.0 * scaled);
        let [scaled, he] = ratios(false);
        assert!((0.4..2.5).contains(&scaled) && he < 0.1 * scaled);
    }
}

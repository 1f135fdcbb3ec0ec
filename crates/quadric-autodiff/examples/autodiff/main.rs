//! Times gradients and Hessian products of the four networks: `cargo run --release -p quadric-autodiff --example autodiff -- mlp`.
//!
//! Prints one line of JSON per quantity, in seconds: the median of several runs.

mod programs;

use programs::Network;
use quadric_autodiff::{Data, Executable, Kind, Program};
use quadric_linalg::random::SeedTree;
use quadric_linalg::{Error, Result};
use std::time::Instant;

/// Values of the inputs of a program: small random numbers, and labels.
enum Value {
    Floats(Vec<f32>),
    Labels(Vec<i32>),
}

impl Value {
    fn data(&self) -> Data<'_, f32> {
        match self {
            Self::Floats(v) => Data::Float(v),
            Self::Labels(v) => Data::Index(v),
        }
    }
}

fn values(program: &Program) -> Vec<Value> {
    let seeds = SeedTree::new(1);
    let inputs = program.inputs().iter().enumerate();
    inputs
        .map(|(i, input)| {
            let t = program.input_type(i);
            let mut stream = seeds.child(input.name()).stream(0);
            match t.kind {
                Kind::Index => {
                    Value::Labels((0..t.len()).map(|_| stream.below(10) as i32).collect())
                }
                Kind::Float => {
                    let fan: usize = t.shape[..t.shape.len().saturating_sub(1)].iter().product();
                    let (mean, scale) = match input.name() {
                        "x" => (0.0, 1.0),
                        n if n.ends_with("scale") || (t.shape.len() == 1 && n.contains("norm")) => {
                            (1.0, 0.1)
                        }
                        _ => (0.0, (1.0 / fan.max(1) as f64).sqrt()),
                    };
                    let draw = |_| (mean + scale * stream.normal()) as f32;
                    Value::Floats((0..t.len()).map(draw).collect())
                }
            }
        })
        .collect()
}

fn median(mut f: impl FnMut() -> Result<()>) -> Result<f64> {
    f()?;
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < 5 || (times.len() < 51 && start.elapsed().as_secs_f64() < 3.0) {
        let begin = Instant::now();
        f()?;
        times.push(begin.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn measure(name: &str, network: &Network, block: usize) -> Result<()> {
    let wrt: Vec<&str> = network.parameters.iter().map(String::as_str).collect();
    let begin = Instant::now();
    let gradient = network.loss.value_and_grad(&wrt)?;
    let mut product = network.loss.grad(&wrt)?.linearize(&wrt)?;
    if block > 1 {
        let directions: Vec<String> = wrt.iter().map(|n| format!("d {n}")).collect();
        let directions: Vec<&str> = directions.iter().map(String::as_str).collect();
        product = product.batch(&directions, block)?;
    }
    let mut first = Executable::<f32>::new(&gradient)?;
    let mut second = Executable::<f32>::new(&product)?;
    let traced = begin.elapsed().as_secs_f64();

    let all = values(&gradient);
    let inputs: Vec<Data<'_, f32>> = all.iter().map(Value::data).collect();
    let mut out: Vec<Vec<f32>> = (0..gradient.outputs())
        .map(|i| vec![0.0; gradient.output_type(i).len()])
        .collect();
    let mut slots: Vec<&mut [f32]> = out.iter_mut().map(Vec::as_mut_slice).collect();
    let seconds = median(|| first.run(&inputs, &mut slots))?;
    let loss = out[0][0];
    report(
        name,
        "gradient",
        seconds,
        first.flops(),
        first.memory(),
        loss,
    );

    let all = values(&product);
    let inputs: Vec<Data<'_, f32>> = all.iter().map(Value::data).collect();
    let is_direction = |i: &usize| product.inputs()[*i].is_direction();
    let (directions, point): (Vec<usize>, Vec<usize>) = (0..inputs.len()).partition(is_direction);
    let pick =
        |which: &[usize]| -> Vec<Data<'_, f32>> { which.iter().map(|&i| inputs[i]).collect() };
    let mut out: Vec<Vec<f32>> = (0..product.outputs())
        .map(|i| vec![0.0; product.output_type(i).len()])
        .collect();
    let mut slots: Vec<&mut [f32]> = out.iter_mut().map(Vec::as_mut_slice).collect();
    let (memory, flops) = (second.memory(), second.flops());
    let (point, directions) = (pick(&point), pick(&directions));
    let mut prepared = second.prepare(&point)?;
    let seconds = median(|| prepared.apply(&directions, &mut slots))?;
    report(
        name,
        &format!("Hessian product of {block}"),
        seconds,
        flops,
        memory,
        out[0][0],
    );
    println!(
        "{{\"network\":\"{name}\",\"quantity\":\"trace, transform, compile\",\"seconds\":{traced}}}"
    );
    Ok(())
}

fn report(name: &str, quantity: &str, seconds: f64, flops: u64, memory: usize, first: f32) {
    let rate = flops as f64 / seconds / 1e9;
    println!(
        "{{\"network\":\"{name}\",\"quantity\":\"{quantity}\",\"seconds\":{seconds},\"gflops\":{rate:.1},\"memory\":{memory},\"first\":{first}}}"
    );
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let name = args.get(1).map_or("mlp", String::as_str);
    let block: usize = args.get(2).and_then(|b| b.parse().ok()).unwrap_or(1);
    let network = match name {
        "mlp" => programs::mlp(512, &[784, 512, 512, 10])?,
        "resnet" => programs::resnet(64, 32, 3)?,
        "lstm" => programs::lstm(64, 64, 32, 128)?,
        "transformer" => programs::transformer(32, 64, 128, 4, 2)?,
        other => {
            return Err(Error::argument(
                "network",
                other,
                "mlp, resnet, lstm or transformer",
            ));
        }
    };
    measure(name, &network, block)
}

//! Times gradients, Hessian and Gauss-Newton products of the four networks:
//! `cargo run --release -p quadric-autodiff --example autodiff -- mlp`, or with a number of directions behind it for Hessian
//! products of as many; `--tiny` for a look whether it works.
//!
//! Prints one line of JSON per quantity, in seconds: the median of several runs.

#![allow(clippy::print_stdout)]

mod programs;

use programs::Network;
use quadric_autodiff::{Data, Executable, Kind, Program};
use quadric_linalg::random::SeedTree;
use quadric_linalg::{Error, ErrorKind, Result};
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
    while times.len() < 5 || (times.len() < 51 && start.elapsed().as_secs_f64() < 2.0) {
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
    let product = network.loss.grad(&wrt)?.linearize(&wrt)?;
    if block > 1 {
        let directions: Vec<String> = wrt.iter().map(|n| format!("d {n}")).collect();
        let directions: Vec<&str> = directions.iter().map(String::as_str).collect();
        let product = product.batch(&directions, block)?;
        let executable = Executable::new(&product)?;
        let quantity = format!("Hessian product of {block}");
        return measure_program(name, &quantity, &product, executable);
    }
    let first = Executable::new(&gradient)?;
    let second = Executable::new(&product)?;
    let traced = begin.elapsed().as_secs_f64();
    measure_program(name, "gradient", &gradient, first)?;
    measure_program(name, "Hessian product", &product, second)?;
    let small = Executable::compact(&product)?;
    measure_program(name, "Hessian product, compact", &product, small)?;
    let third = Executable::new(&network.gauss_newton)?;
    measure_program(name, "Gauss-Newton product", &network.gauss_newton, third)?;
    println!(
        "{{\"network\":\"{name}\",\"quantity\":\"trace, transform, compile\",\"seconds\":{traced}}}"
    );
    Ok(())
}

/// A program that is prepared at a point once, along directions again and again; all of it where there are none.
fn measure_program(
    name: &str,
    quantity: &str,
    program: &Program,
    mut executable: Executable<f32>,
) -> Result<()> {
    let all = values(program);
    let inputs = || program.inputs().iter().zip(&all);
    let pick = |direction: bool| -> Vec<Data<'_, f32>> {
        let wanted = inputs().filter(|(i, _)| i.is_direction() == direction);
        wanted.map(|(_, v)| v.data()).collect()
    };
    let (point, directions) = (pick(false), pick(true));
    let mut out = room(program);
    let mut slots: Vec<&mut [f32]> = out.iter_mut().map(Vec::as_mut_slice).collect();
    let memory = executable.memory();
    let flops = if directions.is_empty() {
        program.flops()
    } else {
        program.flops_along_directions()
    };
    let mut prepared = executable.prepare(&point)?;
    let seconds = median(|| prepared.apply(&directions, &mut slots))?;
    check_finite(&out)?;
    report(name, quantity, seconds, flops, memory);
    Ok(())
}

/// Space for the outputs of a program.
fn room(program: &Program) -> Vec<Vec<f32>> {
    let sizes = (0..program.outputs()).map(|i| program.output_type(i).len());
    sizes.map(|n| vec![0.0; n]).collect()
}

fn check_finite(outputs: &[Vec<f32>]) -> Result<()> {
    if outputs.iter().flatten().all(|v| v.is_finite()) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NonFinite, "an output is not finite"))
}

fn report(name: &str, quantity: &str, seconds: f64, flops: u64, memory: usize) {
    let gflop = flops as f64 / 1e9;
    println!(
        "{{\"network\":\"{name}\",\"quantity\":\"{quantity}\",\"seconds\":{seconds},\"gflop\":{gflop},\"memory\":{memory}}}"
    );
}

/// The rate of a product of two 1024 x 1024 matrices: the limit of all that is made of products.
fn measure_products() -> Result<()> {
    const N: usize = 1024;
    let program = Program::trace(|t| vec![t.input("a", [N, N]).matmul(t.input("b", [N, N]))])?;
    let mut executable = Executable::<f32>::new(&program)?;
    let values = vec![1.0_f32; N * N];
    let mut out = vec![0.0; N * N];
    let (a, b) = (Data::Float(&values[..]), Data::Float(&values[..]));
    let seconds = median(|| executable.run(&[a, b], &mut [&mut out]))?;
    let rate = executable.flops() as f64 / 1e9 / seconds;
    println!("{{\"quantity\":\"product\",\"seconds\":{seconds},\"gflops\":{rate}}}");
    Ok(())
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let name = args.first().map_or("mlp", String::as_str);
    let block = args.get(1).and_then(|b| b.parse().ok()).unwrap_or(1);
    let tiny = args.iter().any(|a| a == "--tiny");
    let network = match (name, tiny) {
        ("mlp", false) => programs::mlp(512, &[784, 512, 512, 10])?,
        ("mlp", true) => programs::mlp(4, &[8, 8, 10])?,
        ("resnet", false) => programs::resnet(64, 32, 3, 16)?,
        ("resnet", true) => programs::resnet(1, 8, 1, 16)?,
        ("lstm", false) => programs::lstm(64, 64, 32, 128)?,
        ("lstm", true) => programs::lstm(2, 3, 4, 8)?,
        ("transformer", false) => programs::transformer(32, 64, 128, 4, 2)?,
        ("transformer", true) => programs::transformer(1, 4, 8, 2, 1)?,
        ("gemm", _) => return measure_products(),
        _ => {
            return Err(Error::argument(
                "network",
                name,
                "mlp, resnet, lstm, transformer or gemm",
            ));
        }
    };
    measure(name, &network, block)
}

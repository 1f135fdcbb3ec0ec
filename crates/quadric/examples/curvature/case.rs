//! A trained network with a batch of examples, in a folder: `case.json`, `weights.safetensors`, `x.npy` and `labels.npy`.

use quadric::autodiff::Array;
use quadric::core::{ErrorKind, FiniteSum, Overwrite, read_file, write_atomically};
use quadric::data::{Limits, NpyArray, ReadOptions, encode_npy, read, read_npy};
use quadric::linalg::random::SeedTree;
use quadric::nn::layers::Activation;
use quadric::nn::models::{Resnet, mlp, resnet};
use quadric::nn::{AxisOrder, Examples, Loss, Network, Supervised, Weights};
use quadric::prelude::*;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A problem and the point at which its Hessian is looked at.
pub(crate) struct Case {
    pub(crate) folder: PathBuf,
    pub(crate) problem: Supervised<f32>,
    pub(crate) x: Vec<f32>,
    /// What `case.json` says.
    pub(crate) about: Value,
}

/// Mean and deviation of the colours with which the network for CIFAR-10 was trained.
const COLOURS: [(f64, f64); 3] = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)];
/// Bytes for programs: blocks of 16 of the residual network keep all of their point.
const MEMORY: usize = 8 << 30;
/// Images of CIFAR-10: so few that the peers take minutes and not hours.
const IMAGES: usize = 32;
const STEPS: usize = 600;
const RATE: f32 = 0.2;
const TRAINING: usize = 10_240;

fn network(name: &str, tiny: bool) -> Result<Network> {
    let small = Resnet {
        depth: 8,
        image: [8, 8, 3],
        width: 4,
        ..Resnet::default()
    };
    match (name, tiny) {
        ("mlp", false) => mlp(&[784, 256, 256, 10], Activation::Tanh),
        ("mlp", true) => mlp(&[64, 16, 16, 10], Activation::Tanh),
        ("resnet", false) => resnet(Resnet::default()),
        ("resnet", true) => resnet(small),
        _ => Err(Error::argument("network", name, "mlp or resnet")),
    }
}

/// Writes the folder, and prints what the network and the examples are, or that they are absent.
pub(crate) fn make(name: &str, folder: &Path, tiny: bool) -> Result<()> {
    let network = network(name, tiny)?;
    let made = match (name, tiny) {
        ("mlp", _) => trained(&network, tiny)?,
        (_, true) => {
            let examples = generated(&network, 8)?;
            let weights = Weights::initial(&network, 1);
            Some((weights, examples, "generated data, not trained".to_owned()))
        }
        _ => pretrained(&network)?,
    };
    let Some((weights, examples, data)) = made else {
        println!(
            "{}",
            json!({ "absent": "set QUADRIC_DATA to a folder with cifar10 and pretrained" })
        );
        return Ok(());
    };
    std::fs::create_dir_all(folder)
        .map_err(|e| Error::new(ErrorKind::Io, format!("{}: {e}", folder.display())))?;
    let layout = network.layout().segments().iter();
    let layout: Vec<Value> = layout.map(|s| json!([s.name, s.shape])).collect();
    let about = json!({
        "network": name, "tiny": tiny, "data": data, "layout": layout, "effort": effort(name, tiny),
    });
    let write = |file: &str, bytes: &[u8]| {
        write_atomically(&folder.join(file), Overwrite::Replace, |out| {
            out.write_all(bytes)
        })
    };
    write("case.json", about.to_string().as_bytes())?;
    weights.write(
        &network,
        &folder.join("weights.safetensors"),
        Overwrite::Replace,
    )?;
    let (Some(Array::Float(x)), Array::Index(labels)) =
        (examples.inputs.first(), &examples.targets)
    else {
        return Err(Error::argument(
            "examples",
            "other kinds",
            "pixels and labels",
        ));
    };
    let n = examples.count;
    let x: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
    let labels: Vec<f64> = labels.iter().map(|v| f64::from(*v)).collect();
    write("x.npy", &encode_npy(&[n, x.len() / n], &x))?;
    write("labels.npy", &encode_npy(&[n], &labels))?;
    println!(
        "{}",
        json!({ "network": name, "data": data, "parameters": network.layout().len() })
    );
    Ok(())
}

/// What everybody may spend on a network of this size.
fn effort(name: &str, tiny: bool) -> Value {
    match (name, tiny) {
        (_, true) => json!({
            "reference": { "trace": 10, "forms": 20, "starts": 2, "steps": 10 },
            "ladder": [4, 8], "counts": [12, 24, 48], "products": 400, "columns": 4, "seeds": 2,
        }),
        ("mlp", _) => json!({
            "reference": { "trace": 100, "forms": 500, "starts": 24, "steps": 120 },
            "ladder": [10, 20, 40], "products": 4000, "columns": 16, "seeds": 4,
            "counts": [24, 48, 96, 144, 192, 288, 384, 576, 768],
        }),
        _ => json!({
            "reference": { "trace": 60, "forms": 120, "starts": 0, "steps": 0 },
            "ladder": [], "counts": [48, 96, 192, 384], "products": 1000, "columns": 4, "seeds": 2,
        }),
    }
}

/// What a folder holds.
pub(crate) fn load(folder: &Path) -> Result<Case> {
    let about = read_file(&folder.join("case.json"))?;
    let about: Value =
        serde_json::from_slice(&about).map_err(|e| Error::malformed("case.json", e.to_string()))?;
    let name = about["network"].as_str().unwrap_or_default();
    let network = network(name, about["tiny"] == true)?;
    let path = folder.join("weights.safetensors");
    let weights = Weights::read(&network, &path, AxisOrder::Own)?;
    let array = |file: &str| read_npy(&folder.join(file), &Limits::default());
    let NpyArray { values, .. } = array("x.npy")?;
    let labels = array("labels.npy")?.values;
    let examples = Examples {
        count: labels.len(),
        inputs: vec![Array::Float(values.iter().map(|v| *v as f32).collect())],
        targets: Array::Index(labels.iter().map(|v| *v as i32).collect()),
    };
    let problem = Supervised::new(network, Loss::CROSS_ENTROPY, examples)?
        .with_memory(MEMORY)
        .with_buffers(weights.buffers)?;
    Ok(Case {
        folder: folder.to_owned(),
        problem,
        x: weights.parameters,
        about,
    })
}

type Made = (Weights<f32>, Examples<f32>, String);

/// The network after some hundred steps of stochastic gradient descent, and the first 512 of its examples.
fn trained(network: &Network, tiny: bool) -> Result<Option<Made>> {
    let (count, batch, steps) = if tiny {
        (64, 32, 40)
    } else {
        (TRAINING, 512, STEPS)
    };
    let (examples, data) = match path(&["mnist", "train-images-idx3-ubyte.gz"]) {
        Some(path) if !tiny => (images(&path, count, 255.0, |v| v.to_vec())?, "MNIST"),
        _ => (generated(network, count)?, "generated data"),
    };
    let weights = Weights::initial(network, 1);
    let first = first(&examples, batch)?;
    let problem = Supervised::new(self::network("mlp", tiny)?, Loss::CROSS_ENTROPY, examples)?;
    let mut x = weights.parameters;
    let mut g = vec![0.0; x.len()];
    for step in 0..steps {
        let start = step * batch % count;
        let rows: Vec<usize> = (start..start + batch).collect();
        FiniteSum::batch(&problem, &rows)?.value_grad(&x, &mut g)?;
        x.iter_mut().zip(&g).for_each(|(x, g)| *x -= RATE * g);
    }
    let loss = problem.value(&x)?;
    let weights = Weights {
        parameters: x,
        buffers: weights.buffers,
    };
    let data = format!("{data}, loss {loss:.3} after {steps} steps");
    Ok(Some((weights, first, data)))
}

/// The trained network of CIFAR-10 and some images of the test set, if they are there.
fn pretrained(network: &Network) -> Result<Option<Made>> {
    let images_path = path(&["cifar10", "test_batch.bin.xz"]);
    let weights = path(&["pretrained", "resnet20_cifar10.safetensors"]);
    let (Some(images_path), Some(weights)) = (images_path, weights) else {
        return Ok(None);
    };
    let weights = Weights::read(network, &weights, AxisOrder::Torch)?;
    let examples = images(&images_path, IMAGES, 1.0, |planes| {
        let pixel = |i: usize| (0..3).map(move |c| (i, c));
        let scaled = |(i, c): (usize, usize)| {
            let (mean, deviation) = COLOURS[c];
            (planes[c * 1024 + i] / 255.0 - mean) / deviation
        };
        (0..1024).flat_map(pixel).map(scaled).collect()
    })?;
    Ok(Some((
        weights,
        examples,
        "CIFAR-10 test images, trained weights".to_owned(),
    )))
}

/// The file of a data set, if the folder that `QUADRIC_DATA` names has it.
fn path(parts: &[&str]) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("QUADRIC_DATA")?);
    let path = parts.iter().fold(folder, |path, part| path.join(part));
    path.exists().then_some(path)
}

/// The first images of a file, their pixels divided by a number and rearranged.
fn images(
    path: &Path,
    count: usize,
    by: f64,
    turn: impl Fn(&[f64]) -> Vec<f64>,
) -> Result<Examples<f32>> {
    let data = read(path, &ReadOptions::default())?;
    let mut x = Vec::new();
    for i in 0..count.min(data.rows()) {
        let mut row = vec![0.0; data.x.cols()];
        data.x.for_row(i, |j, v| row[j] = v / by);
        x.extend(turn(&row).into_iter().map(|v| v as f32));
    }
    let labels = data.target.iter().take(count).map(|v| *v as i32);
    Ok(Examples {
        count: count.min(data.rows()),
        inputs: vec![Array::Float(x)],
        targets: Array::Index(labels.collect()),
    })
}

/// Normal inputs around a centre for each of ten classes.
fn generated(network: &Network, count: usize) -> Result<Examples<f32>> {
    let each: usize = network.inputs()[0].shape.iter().product();
    let mut stream = SeedTree::new(1).child("examples").stream(0);
    let centres: Vec<f64> = (0..10 * each).map(|_| 0.3 * stream.normal()).collect();
    let labels: Vec<i32> = (0..count).map(|i| (i % 10) as i32).collect();
    let mut x = Vec::with_capacity(count * each);
    for label in &labels {
        let centre = &centres[*label as usize * each..][..each];
        x.extend(centre.iter().map(|c| (c + 0.5 * stream.normal()) as f32));
    }
    Ok(Examples {
        count,
        inputs: vec![Array::Float(x)],
        targets: Array::Index(labels),
    })
}

/// The first examples.
fn first(examples: &Examples<f32>, count: usize) -> Result<Examples<f32>> {
    let (Some(Array::Float(x)), Array::Index(labels)) =
        (examples.inputs.first(), &examples.targets)
    else {
        return Err(Error::argument(
            "examples",
            "other kinds",
            "pixels and labels",
        ));
    };
    let each = x.len() / examples.count;
    Ok(Examples {
        count,
        inputs: vec![Array::Float(x[..count * each].to_vec())],
        targets: Array::Index(labels[..count].to_vec()),
    })
}

//! Networks that others trained, on their test data: from a folder named by QUADRIC_DATA, with one folder per set.

use libtest_mimic::{Arguments, Failed, Trial};
use quadric_autodiff::Array;
use quadric_data::{ReadOptions, read};
use quadric_linalg::DataMatrix;
use quadric_nn::models::{Resnet, resnet};
use quadric_nn::{AxisOrder, Examples, Loss, Weights};
use std::path::{Path, PathBuf};

fn main() {
    let arguments = Arguments::from_args();
    let folder = std::env::var_os("QUADRIC_DATA").map(PathBuf::from);
    let folder = folder.filter(|f| weights(f).exists() && images(f).exists());
    let missing = folder.is_none();
    let trial = Trial::test("resnet20_on_cifar10", move || {
        accuracy(folder.as_deref().ok_or("no data")?)
    });
    libtest_mimic::run(&arguments, vec![trial.with_ignored_flag(missing)]).exit();
}

fn weights(folder: &Path) -> PathBuf {
    folder.join("pretrained/resnet20_cifar10.safetensors")
}

fn images(folder: &Path) -> PathBuf {
    folder.join("cifar10/test_batch.bin.xz")
}

/// 8.27 % of the ten thousand test images are classified wrong, as published for these weights.
fn accuracy(folder: &Path) -> Result<(), Failed> {
    let network = resnet(Resnet::default())?;
    let weights = Weights::<f32>::read(&network, &weights(folder), AxisOrder::Torch)?;
    let data = read(&images(folder), &ReadOptions::default())?;
    let (mean, spread) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let DataMatrix::Dense(pixels) = &data.x else {
        return Err("images are dense".into());
    };
    let mut values = Vec::with_capacity(data.rows() * 3072);
    for i in 0..data.rows() {
        let row = pixels.row(i);
        // Planes of red, green and blue become channels of pixels.
        for pixel in 0..1024 {
            for c in 0..3 {
                let v = row[c * 1024 + pixel] / 255.0;
                values.push(((v - mean[c]) / spread[c]) as f32);
            }
        }
    }
    let labels = data.target.iter().map(|&y| y as i32);
    let examples = Examples {
        count: data.rows(),
        inputs: vec![Array::Float(values)],
        targets: Array::Index(labels.collect()),
    };
    let loss = Loss::CROSS_ENTROPY;
    let found = network.accuracy(&weights.parameters, &weights.buffers, &examples, loss, 250)?;
    let found = found.ok_or("there are labels")?;
    if (found - 0.9173).abs() > 1e-9 {
        return Err(format!("{found} of the images are classified right, not 0.9173").into());
    }
    Ok(())
}

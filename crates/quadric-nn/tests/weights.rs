//! Weights in files: round trips, the order of axes in PyTorch, and what is refused.

use quadric_core::{Container, Overwrite, Tensor};
use quadric_linalg::{Error, ErrorKind};
use quadric_nn::layers::{BatchNorm, Conv2d, Dense, batch_norm, conv2d, dense, embedding};
use quadric_nn::{AxisOrder, Init, Network, Port, Weights};

/// A table, a convolution, a normalisation and a dense layer.
fn network() -> Network {
    let ports = [Port::floats("x", [4, 4, 2]), Port::indices("i", [])];
    let network = Network::new(ports, |scope, x| {
        let h = conv2d(scope, "conv", x[0], 3, [2, 1], &Conv2d::default());
        let h = batch_norm(scope, "norm", h, BatchNorm::default()).mean(&[1, 2]);
        let h = dense(scope, "fc", h, 5, &Dense::default());
        vec![h + embedding(scope, "table", x[1], 7, 5)]
    });
    network.expect("shapes fit")
}

/// The tensors of a file.
fn content(network: &Network) -> Container {
    let weights = Weights::<f64>::initial(network, 5);
    let bytes = weights.to_bytes(network).expect("finite weights");
    Container::from_bytes(&bytes, "f").expect("a container")
}

fn read(container: &Container, order: AxisOrder) -> Result<Weights<f64>, Error> {
    let bytes = container.to_bytes().expect("a container");
    Weights::from_bytes(&network(), &bytes, "f.safetensors", order)
}

#[test]
fn weights_round_trip_bit_for_bit() {
    let network = network();
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("w.safetensors");
    let weights = Weights::<f64>::initial(&network, 3);
    weights
        .write(&network, &path, Overwrite::Refuse)
        .expect("a new file");
    let read = Weights::read(&network, &path, AxisOrder::Own).expect("its own file");
    assert_eq!(weights, read);
    assert_eq!(weights.buffers, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    let again = weights.write(&network, &path, Overwrite::Refuse);
    assert_eq!(again.expect_err("it is there").kind(), ErrorKind::Io);
    let single = Weights::<f32>::initial(&network, 3);
    let bytes = single.to_bytes(&network).expect("finite weights");
    let back = Weights::<f32>::from_bytes(&network, &bytes, "f", AxisOrder::Own);
    assert_eq!(back.expect("its own file"), single);
    // Either precision reads the other's files.
    let wide = Weights::<f64>::from_bytes(&network, &bytes, "f", AxisOrder::Own);
    let wide = wide.expect("single precision").parameters;
    assert!(
        wide.iter()
            .zip(&single.parameters)
            .all(|(a, b)| *a == f64::from(*b))
    );
    let narrow = Weights::<f32>::read(&network, &path, AxisOrder::Own);
    let narrow = narrow.expect("double precision").parameters;
    assert!(
        narrow
            .iter()
            .zip(&weights.parameters)
            .all(|(a, b)| *a == *b as f32)
    );
}

/// Entry (o, i, y, x) of a kernel of PyTorch is entry (y, x, i, o) here; a table is not turned.
#[test]
fn axes_of_pytorch_are_reordered() {
    let network = network();
    let mut container = content(&network);
    let turn = |container: &mut Container, name: &str, shape: &[usize]| {
        let n = shape.iter().product::<usize>();
        let data = (0..n).map(|v| v as f64).collect();
        let shape = shape.to_vec();
        container
            .tensors
            .insert(name.to_owned(), Tensor::F64 { shape, data });
    };
    turn(&mut container, "conv.weight", &[3, 2, 2, 1]);
    turn(&mut container, "fc.weight", &[5, 3]);
    container
        .tensors
        .insert("norm.num_batches_tracked".into(), Tensor::u64(vec![9]));
    let weights = read(&container, AxisOrder::Torch).expect("PyTorch's order");
    let piece = |name: &str| {
        let range = network.layout().find(name).expect("a name").range();
        weights.parameters[range].to_vec()
    };
    let mut kernel = Vec::new();
    for y in 0..2 {
        for i in 0..2 {
            kernel.extend((0..3).map(|o| ((o * 2 + i) * 2 + y) as f64));
        }
    }
    assert_eq!(piece("conv.weight"), kernel);
    let matrix: Vec<f64> = (0..15).map(|at| (at % 5 * 3 + at / 5) as f64).collect();
    assert_eq!(piece("fc.weight"), matrix);
    let table = &container.tensors["table.weight"];
    assert!(matches!(table, Tensor::F64 { data, .. } if *data == piece("table.weight")));
    // In our own order a count of batches is unexpected, and the shapes are wrong.
    let text = read(&container, AxisOrder::Own)
        .expect_err("turned")
        .to_string();
    for part in [
        "f.safetensors: the tensors do not fit the network; unexpected: `norm.num_batches_tracked`; wrong: ",
        "`conv.weight` of shape [3, 2, 2, 1], expected [2, 1, 2, 3], `fc.weight` of shape [5, 3], expected [3, 5]",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn all_faults_are_named_at_once() {
    let mut container = content(&network());
    container.tensors.remove("fc.bias");
    container.tensors.remove("norm.running_var");
    container
        .tensors
        .insert("fc3.bias".into(), Tensor::f64(vec![1.0]));
    container
        .tensors
        .insert("conv.bias".into(), Tensor::f64(vec![1.0; 4]));
    container
        .tensors
        .insert("norm.bias".into(), Tensor::u64(vec![1; 3]));
    container
        .tensors
        .insert("other.num_batches_tracked".into(), Tensor::u64(vec![9]));
    let error = read(&container, AxisOrder::Torch).expect_err("faults");
    assert_eq!(error.kind(), ErrorKind::Data);
    let text = error.to_string();
    for part in [
        "missing: `fc.bias`, `norm.running_var`; unexpected: `fc3.bias`, `other.num_batches_tracked`; wrong: ",
        "`conv.bias` of shape [4], expected [3]",
        "`norm.bias` of integers",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let network = network();
    for bad in [f64::NAN, f64::INFINITY] {
        let mut container = content(&network);
        container
            .tensors
            .insert("conv.bias".into(), Tensor::f64(vec![0.0, bad, 0.0]));
        let error = read(&container, AxisOrder::Own).expect_err("not finite");
        assert_eq!(error.kind(), ErrorKind::NonFinite);
        let text = error.to_string();
        assert!(
            text.contains("`f.safetensors`: `conv.bias` at 1 is"),
            "{text}"
        );
        let mut weights = Weights::<f64>::initial(&network, 0);
        weights.buffers[4] = bad;
        let error = weights.to_bytes(&network).expect_err("not finite");
        assert!(
            error.to_string().contains("`norm.running_var` at 1"),
            "{error}"
        );
    }
    // Finite in double precision only.
    let mut container = content(&network);
    container
        .tensors
        .insert("conv.bias".into(), Tensor::f64(vec![0.0, 1e300, 0.0]));
    let bytes = container.to_bytes().expect("a container");
    let single = Weights::<f32>::from_bytes(&network, &bytes, "f", AxisOrder::Own);
    assert_eq!(single.expect_err("too large").kind(), ErrorKind::NonFinite);
    let short = Weights {
        parameters: vec![0.0_f64; 3],
        buffers: vec![],
    };
    let text = short.to_bytes(&network).expect_err("too short").to_string();
    assert!(text.contains("parameters has shape [3]"), "{text}");
}

#[test]
fn other_files_are_refused() {
    let network = network();
    let from = |bytes: &[u8]| {
        let read = Weights::<f64>::from_bytes(&network, bytes, "f", AxisOrder::Own);
        let error = read.expect_err("another file");
        assert_eq!(error.kind(), ErrorKind::Malformed);
        error.to_string()
    };
    let mut archive = b"PK\x03\x04".to_vec();
    archive.resize(100, 0);
    for bytes in [&archive[..], b"\x80\x02}q\x00."] {
        let text = from(bytes);
        assert!(text.contains("f: an archive or a pickle"), "{text}");
        assert!(text.contains("safetensors.torch.save_file"), "{text}");
    }
    let checkpoint = Container::new("checkpoint")
        .to_bytes()
        .expect("a container");
    assert!(from(&checkpoint).contains("of kind `checkpoint`; expected `weights`"));
    let good = Weights::<f64>::initial(&network, 0);
    let good = good.to_bytes(&network).expect("finite weights");
    for cut in 0..good.len() {
        assert!(from(&good[..cut]).starts_with("f: "), "cut at {cut}");
    }
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 4;
        let read = Weights::<f64>::from_bytes(&network, &bad, "f", AxisOrder::Own);
        assert!(read.is_err(), "byte {at}");
    }
}

/// A parameter and a buffer cannot share a name in a file.
#[test]
fn names_are_unique_in_a_file() {
    let network = Network::new([Port::floats("x", [1])], |scope, x| {
        let role = quadric_core::Role::Plain;
        let p = scope.parameter("a", &[1], role, Init::Constant(1.0));
        vec![x[0] * p + scope.buffer("a", &[1], Init::Constant(1.0))]
    });
    let network = network.expect("shapes fit");
    let written = Weights::<f64>::initial(&network, 0).to_bytes(&network);
    let text = written.expect_err("one name").to_string();
    assert!(
        text.contains("a parameter and a buffer are named `a`"),
        "{text}"
    );
}

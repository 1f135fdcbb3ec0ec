//! Files with changed bytes and models with changed numbers: they may be refused, but never crash.

use super::super::{Options, from_bytes};
use crate::onnx::proto;
use prost::Message;
use quadric_linalg::random::{SeedTree, Stream};

fn fixture(name: &str) -> Vec<u8> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/onnx/");
    std::fs::read(format!("{root}{name}")).expect("a fixture")
}

#[test]
fn changed_bytes_never_crash() {
    let seed = 5;
    println!("seed {seed}");
    let mut stream = SeedTree::new(seed).stream(0);
    for name in [
        "mlp",
        "cnn_folded",
        "cnn_training",
        "gru",
        "transformer_folded",
    ] {
        let file = fixture(&format!("{name}.onnx"));
        let mut refused = 0;
        for _ in 0..150 {
            let mut bytes = file.clone();
            for _ in 0..=stream.below(3) {
                let at = stream.below(bytes.len());
                bytes[at] = stream.below(256) as u8;
            }
            refused += usize::from(from_bytes(&bytes, &Options::default()).is_err());
        }
        assert!(refused > 0, "{name}: nothing that was changed matters");
    }
}

/// The models of the node tests, see nodes.py.
fn node_models() -> Vec<proto::Model> {
    let file = fixture("nodes.bin");
    let mut rest = &file[..];
    let mut take = |n: usize| {
        let (front, behind) = rest.split_at(n);
        rest = behind;
        (front, behind.is_empty())
    };
    let size = |b: &[u8]| u32::from_le_bytes(b.try_into().expect("4 bytes")) as usize;
    let mut models = Vec::new();
    loop {
        let name = size(take(4).0);
        take(name);
        let why = size(take(4).0);
        let mut at_end = take(why).1;
        if why == 0 {
            let model = size(take(4).0);
            models.push(proto::Model::decode(take(model).0).expect("a model"));
            for _ in 0..size(take(4).0) {
                let (width, rank) = (size(take(4).0), size(take(4).0));
                let entries: usize = (0..rank).map(|_| size(take(4).0)).product();
                at_end = take(width * entries).1;
            }
        }
        if at_end {
            return models;
        }
    }
}

/// Another integer, one that is often wrong.
fn wrong(stream: &mut Stream, before: i64) -> i64 {
    const EDGES: [i64; 12] = [
        0,
        1,
        -1,
        2,
        -2,
        5,
        1 << 20,
        1 << 31,
        1 << 62,
        i64::MAX,
        i64::MIN,
        -(1 << 33),
    ];
    match stream.below(3) {
        0 => before.wrapping_add(1),
        1 => before.wrapping_sub(1),
        _ => EDGES[stream.below(EDGES.len())],
    }
}

/// Every integer that tells operators what to do: attributes, shapes, indices.
fn integers(model: &mut proto::Model) -> Vec<&mut i64> {
    let graph = model.graph.as_mut().expect("a graph");
    let tensors = graph.initializers.iter_mut();
    let of_tensors = tensors.flat_map(|t| t.int64_data.iter_mut().chain(t.dims.iter_mut()));
    let attributes = graph.nodes.iter_mut().flat_map(|n| n.attributes.iter_mut());
    let of_nodes = attributes.flat_map(|a| std::iter::once(&mut a.int).chain(a.ints.iter_mut()));
    of_tensors.chain(of_nodes).collect()
}

/// Raw integers as those of the field, which can be changed.
fn unpack(model: &mut proto::Model) {
    for tensor in &mut model.graph.as_mut().expect("a graph").initializers {
        if tensor.data_type == proto::data::INT64 {
            let raw = std::mem::take(&mut tensor.raw_data);
            let numbers = raw.as_chunks::<8>().0.iter();
            tensor
                .int64_data
                .extend(numbers.map(|c| i64::from_le_bytes(*c)));
        }
    }
}

#[test]
fn changed_numbers_never_crash() {
    let seed = 7;
    println!("seed {seed}");
    let mut stream = SeedTree::new(seed).stream(0);
    let (mut models, mut refused) = (node_models(), 0);
    for model in &mut models {
        unpack(model);
        for _ in 0..4 {
            let mut changed = model.clone();
            let mut all = integers(&mut changed);
            if all.is_empty() {
                break;
            }
            for _ in 0..=stream.below(2) {
                let at = stream.below(all.len());
                *all[at] = wrong(&mut stream, *all[at]);
            }
            let bytes = changed.encode_to_vec();
            refused += usize::from(from_bytes(&bytes, &Options::default()).is_err());
        }
    }
    assert!(refused > models.len(), "few of the changes matter");
}

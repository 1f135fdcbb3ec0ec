//! Tensors in other files.

use super::super::{Options, read};
use super::{Data, Malformed, dense, model};
use crate::onnx::proto::{self, Entry};
use prost::Message;
use quadric_linalg::{Error, ErrorKind, Result};
use std::path::Path;

fn entry(key: &str, value: &str) -> Entry {
    Entry {
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

/// Reads a model in a directory, whose weights lie in the file of a name.
fn read_in(directory: &Path, entries: Vec<Entry>, allowed: bool) -> Result<crate::Network> {
    let mut graph = dense();
    graph.initializers[0] = proto::Tensor {
        float_data: Vec::new(),
        external_data: entries,
        data_location: 1,
        ..graph.initializers[0].clone()
    };
    let path = directory.join("model.onnx");
    std::fs::write(&path, model(graph).encode_to_vec()).expect("writable");
    let options = Options {
        external_data: allowed,
        ..Options::default()
    };
    read(&path, &options)
}

fn weights() -> Vec<u8> {
    (1..=6).flat_map(|i| (i as f32).to_le_bytes()).collect()
}

#[test]
fn tensors_in_files_beside_the_model_are_read_if_allowed() {
    let directory = tempfile::tempdir().expect("a directory");
    let inside = directory.path();
    std::fs::create_dir(inside.join("data")).expect("writable");
    let bytes = [vec![9; 8], weights(), vec![9; 3]].concat();
    std::fs::write(inside.join("data/w.bin"), bytes).expect("writable");
    let entries = |offset: &str, length: &str| {
        let place = entry("location", "data/w.bin");
        vec![place, entry("offset", offset), entry("length", length)]
    };
    let network = read_in(inside, entries("8", "24"), true).expect("allowed");
    assert_eq!(
        network.initial::<f64>(0)[..6],
        [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    );
    let refused = |entries, allowed, kind: ErrorKind, text: &str| {
        let e = read_in(inside, entries, allowed).expect_err(text);
        assert!(e.kind() == kind && e.to_string().contains(text), "{e}");
    };
    refused(entries("8", "24"), false, Data, "external_data");
    refused(
        entries("12", "24"),
        true,
        Malformed,
        "24 bytes from byte 12 on",
    );
    refused(
        entries("8", "20"),
        true,
        Malformed,
        "20 bytes in `data/w.bin`",
    );
    refused(
        entries("-8", "24"),
        true,
        Malformed,
        "the offset `-8` is no size",
    );
    refused(
        entries("18446744073709551615", "24"),
        true,
        Malformed,
        "from byte",
    );
    refused(vec![], true, Data, "is not named inside the directory");
}

#[test]
#[cfg(unix)]
fn files_elsewhere_and_links_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let inside = directory.path().join("inside");
    std::fs::create_dir(&inside).expect("writable");
    let outside = directory.path().join("w.bin");
    std::fs::write(&outside, weights()).expect("writable");
    std::os::unix::fs::symlink(&outside, inside.join("symbolic")).expect("writable");
    std::os::unix::fs::symlink(directory.path(), inside.join("up")).expect("writable");
    std::fs::hard_link(&outside, inside.join("hard")).expect("writable");
    std::fs::create_dir(inside.join("folder")).expect("writable");
    let fifo = std::process::Command::new("mkfifo")
        .arg(inside.join("fifo"))
        .status();
    assert!(fifo.is_ok_and(|s| s.success()), "a pipe");
    let message = |location: &str| {
        let read = read_in(&inside, vec![entry("location", location)], true);
        let e: Error = read.expect_err(location);
        assert_eq!(
            e.kind(),
            if location == "nothing" {
                ErrorKind::Io
            } else {
                Data
            },
            "{e}"
        );
        e.to_string()
    };
    let absolute = outside.display().to_string();
    for place in [
        "../w.bin",
        "folder/../../w.bin",
        "./../w.bin",
        "/dev/zero",
        &absolute,
    ] {
        assert!(message(place).contains("is not named inside"), "{place}");
    }
    assert!(message("symbolic").contains("symbolic link"));
    assert!(message("up/w.bin").contains("symbolic link"));
    assert!(message("hard").contains("linked to from elsewhere"));
    assert!(message("folder").contains("no regular file"));
    assert!(message("fifo").contains("no regular file"));
    message("nothing");
}

#[test]
#[cfg(unix)]
fn models_that_are_no_files_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    for path in [directory.path(), Path::new("/dev/zero")] {
        let e = read(path, &Options::default()).expect_err("no file");
        assert!(e.to_string().contains("is no regular file"), "{e}");
    }
    let missing = read(directory.path().join("none"), &Options::default());
    assert_eq!(missing.expect_err("missing").kind(), ErrorKind::Io);
}

//! Text corpora and their windows.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use quadric_data::{Corpus, Limits, Unit};
use quadric_linalg::ErrorKind;
use quadric_linalg::random::SeedTree;

const TEXT: &str = "Дом, дом: 家 and\nhome \u{1f3e0}. E\u{301}!";

#[test]
fn tokens_stand_for_the_text() {
    for unit in [Unit::Character, Unit::Byte] {
        let corpus = Corpus::new("t", TEXT.as_bytes(), unit).unwrap();
        assert_eq!(corpus.decode(corpus.tokens()).unwrap(), TEXT.as_bytes());
        let size = corpus.vocabulary_size() as i32;
        assert!(corpus.tokens().iter().all(|t| (0..size).contains(t)));
        for bad in [-1, size] {
            assert_eq!(
                corpus.decode(&[bad]).unwrap_err().kind(),
                ErrorKind::Argument
            );
        }
    }
    let corpus = Corpus::new("t", TEXT.as_bytes(), Unit::Character).unwrap();
    // Every character once, in ascending order.
    let all: Vec<i32> = (0..corpus.vocabulary_size() as i32).collect();
    let vocabulary = String::from_utf8(corpus.decode(&all).unwrap()).unwrap();
    let mut expected: Vec<char> = TEXT.chars().collect();
    expected.sort_unstable();
    expected.dedup();
    assert_eq!(vocabulary.chars().collect::<Vec<_>>(), expected);
    let bytes = Corpus::new("t", b"\xff\x00a", Unit::Byte).unwrap();
    assert_eq!(
        (bytes.tokens(), bytes.vocabulary_size()),
        (&[255, 0, 97][..], 256)
    );
}

#[test]
fn other_texts_in_the_same_vocabulary() {
    let corpus = Corpus::new("train", b"abc\ndef", Unit::Character).unwrap();
    let other = corpus.encode("test", b"fed").unwrap();
    assert_eq!(
        (other.tokens(), other.vocabulary_size()),
        (&[6, 5, 4][..], 7)
    );
    let error = corpus.encode("test", "ab\ncé".as_bytes()).unwrap_err();
    let place = error.place().unwrap();
    assert_eq!((place.line, place.column), (2, 2));
    assert!(error.message().contains("`é`"), "{error:?}");
    let (front, rest) = corpus.split_at(3).unwrap();
    assert_eq!(
        (front.decode(front.tokens()).unwrap(), rest.tokens().len()),
        (b"abc".to_vec(), 4)
    );
    assert_eq!(rest.vocabulary_size(), 7);
    for at in [0, 7, 8] {
        assert_eq!(corpus.split_at(at).unwrap_err().kind(), ErrorKind::Argument);
    }
}

#[test]
fn refused() {
    let error = Corpus::new("t", b"one\ntwo \xff", Unit::Character).unwrap_err();
    let place = error.place().unwrap();
    assert_eq!(
        (error.kind(), place.line, place.column),
        (ErrorKind::Data, 2, 5)
    );
    assert!(Corpus::new("t", b"", Unit::Byte).is_err());
    assert!(Corpus::new("t", b"", Unit::Character).is_err());
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        Corpus::read(folder.path(), Unit::Byte, &Limits::default())
            .unwrap_err()
            .kind(),
        ErrorKind::Io
    );
    let path = folder.path().join("t.txt");
    std::fs::write(&path, "hello").unwrap();
    assert_eq!(
        Corpus::read(&path, Unit::Byte, &Limits::default())
            .unwrap()
            .tokens()
            .len(),
        5
    );
    let corpus = Corpus::new("t", b"hello", Unit::Byte).unwrap();
    for (length, stride, words) in [
        (0, 1, "length"),
        (5, 1, "1 to 4"),
        (usize::MAX, 1, "length"),
        (2, 0, "stride"),
    ] {
        let error = corpus.windows(length, stride).unwrap_err();
        assert!(error.message().contains(words), "{error:?}");
    }
    let windows = corpus.windows(4, 1).unwrap();
    let mut out = [0; 4];
    assert_eq!(
        windows.copy([1], &mut out, &mut [0; 4]).unwrap_err().kind(),
        ErrorKind::Argument
    );
    assert_eq!(
        windows
            .copy([0], &mut out[..3], &mut [0; 4])
            .unwrap_err()
            .kind(),
        ErrorKind::Shape
    );
    assert_eq!(
        windows.copy([0], &mut out, &mut [0; 5]).unwrap_err().kind(),
        ErrorKind::Shape
    );
}

/// Windows are pieces of the text, in any order, and no further one would fit.
#[test]
fn windows_are_pieces_of_the_text() {
    let seed = 7;
    println!("seed {seed}");
    let mut stream = SeedTree::new(seed).child("text").stream(0);
    let text: Vec<u8> = (0..101).map(|_| stream.below(256) as u8).collect();
    let corpus = Corpus::new("t", &text, Unit::Byte).unwrap();
    for (length, stride) in [(1, 1), (7, 1), (7, 7), (10, 3), (100, 1), (3, 1000)] {
        let windows = corpus.windows(length, stride).unwrap();
        let starts: Vec<usize> = (0..text.len())
            .step_by(stride)
            .filter(|s| s + length < text.len())
            .collect();
        assert_eq!(windows.count(), starts.len(), "{length} {stride}");
        let order: Vec<usize> = (0..windows.count()).rev().collect();
        let mut inputs = vec![0; order.len() * length];
        let mut targets = inputs.clone();
        windows
            .copy(order.iter().copied(), &mut inputs, &mut targets)
            .unwrap();
        for (k, i) in order.iter().enumerate() {
            let piece = |from: usize| text[from..from + length].iter().map(|b| i32::from(*b));
            assert!(
                inputs[k * length..][..length]
                    .iter()
                    .copied()
                    .eq(piece(starts[*i]))
            );
            assert!(
                targets[k * length..][..length]
                    .iter()
                    .copied()
                    .eq(piece(starts[*i] + 1))
            );
        }
    }
}

#[test]
fn mutations_do_not_break_the_reader() {
    common::mutate("text", &[TEXT.as_bytes().to_vec()], 2000, |bytes| {
        if let Ok(corpus) = Corpus::new("mutant", bytes, Unit::Character) {
            assert_eq!(corpus.decode(corpus.tokens()).unwrap(), bytes);
        }
    });
}

mod common;

//! Text as a row of tokens, and windows of it for networks that predict the next one.

use crate::options::Limits;
use crate::source;
use crate::trouble::quote;
use quadric_linalg::{Error, ErrorKind, Place, Result};
use std::collections::BTreeSet;
use std::path::Path;

/// What one token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A character of UTF-8 text. The vocabulary holds those that occur, in ascending order of their code points.
    Character,
    /// A byte: the token is its value, the vocabulary holds all 256.
    Byte,
}

/// The tokens of a vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Vocabulary {
    Bytes,
    /// In ascending order; the token is the place.
    Characters(Vec<char>),
}

/// A text as tokens: numbers from 0 to below the size of its vocabulary.
///
/// # Example
/// ```
/// use quadric_data::{Corpus, Unit};
/// let corpus = Corpus::new("greeting", b"hello", Unit::Character)?;
/// assert_eq!(corpus.tokens(), [1, 0, 2, 2, 3]); // of "ehlo"
/// let windows = corpus.windows(3, 1)?;
/// let (mut inputs, mut targets) = ([0; 6], [0; 6]);
/// windows.copy(0..2, &mut inputs, &mut targets)?;
/// assert_eq!((inputs, targets), ([1, 0, 2, 0, 2, 2], [0, 2, 2, 2, 2, 3]));
/// # Ok::<(), quadric_linalg::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corpus {
    name: String,
    tokens: Vec<i32>,
    vocabulary: Vocabulary,
}

impl Corpus {
    /// Reads a text from a file, plain or compressed.
    ///
    /// # Errors
    /// `Io`; as [`Corpus::new`].
    pub fn read(path: &Path, unit: Unit, limits: &Limits) -> Result<Self> {
        let bytes = source::read(path, limits)?;
        Self::new(&path.display().to_string(), &bytes, unit)
    }

    /// A text from memory; `name` stands for it in messages.
    ///
    /// # Errors
    /// `Data` for a text of nothing, and with line and column for bytes that are not UTF-8 where tokens are characters.
    pub fn new(name: &str, text: &[u8], unit: Unit) -> Result<Self> {
        let vocabulary = match unit {
            Unit::Byte => Vocabulary::Bytes,
            Unit::Character => {
                let all: BTreeSet<char> = utf8(name, text)?.chars().collect();
                Vocabulary::Characters(all.into_iter().collect())
            }
        };
        let tokens = vocabulary.tokens(name, text)?;
        Ok(Self {
            name: name.to_owned(),
            tokens,
            vocabulary,
        })
    }

    /// Another text in the vocabulary of this one, such as a text to judge a network by.
    ///
    /// # Errors
    /// As [`Corpus::new`], and for a character that the vocabulary does not have.
    pub fn encode(&self, name: &str, text: &[u8]) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            tokens: self.vocabulary.tokens(name, text)?,
            vocabulary: self.vocabulary.clone(),
        })
    }

    /// The text in tokens.
    pub fn tokens(&self) -> &[i32] {
        &self.tokens
    }

    /// How many different tokens there are.
    pub fn vocabulary_size(&self) -> usize {
        match &self.vocabulary {
            Vocabulary::Bytes => 256,
            Vocabulary::Characters(all) => all.len(),
        }
    }

    /// The text that tokens stand for.
    ///
    /// # Errors
    /// A token outside the vocabulary.
    pub fn decode(&self, tokens: &[i32]) -> Result<Vec<u8>> {
        let mut text = Vec::with_capacity(tokens.len());
        for token in tokens {
            let index = usize::try_from(*token).ok();
            let index = index
                .filter(|t| *t < self.vocabulary_size())
                .ok_or_else(|| {
                    let expected = format!("tokens from 0 to below {}", self.vocabulary_size());
                    Error::argument("tokens", token, &expected)
                })?;
            match &self.vocabulary {
                Vocabulary::Bytes => text.push(index as u8),
                Vocabulary::Characters(all) => {
                    text.extend(all[index].encode_utf8(&mut [0; 4]).bytes());
                }
            }
        }
        Ok(text)
    }

    /// The first tokens and the rest, in the same vocabulary.
    ///
    /// # Errors
    /// A place that leaves one of them empty.
    pub fn split_at(&self, at: usize) -> Result<(Self, Self)> {
        if at == 0 || at >= self.tokens.len() {
            let expected = format!("a place inside the {} tokens", self.tokens.len());
            return Err(Error::argument("at", at, &expected));
        }
        let part = |tokens: &[i32]| Self {
            name: self.name.clone(),
            tokens: tokens.to_vec(),
            vocabulary: self.vocabulary.clone(),
        };
        Ok((part(&self.tokens[..at]), part(&self.tokens[at..])))
    }

    /// Windows of `length` tokens that begin every `stride` tokens. The targets of a window are its tokens one later.
    ///
    /// # Errors
    /// A length or stride of 0, and a text that is not longer than one window.
    pub fn windows(&self, length: usize, stride: usize) -> Result<Windows<'_>> {
        if stride == 0 {
            return Err(Error::argument("stride", stride, "at least 1"));
        }
        if length == 0 || length >= self.tokens.len() {
            let (name, tokens) = (&self.name, self.tokens.len());
            let expected = format!("1 to {} for the {tokens} tokens of `{name}`", tokens - 1);
            return Err(Error::argument("length", length, &expected));
        }
        Ok(Windows {
            tokens: &self.tokens,
            length,
            stride,
        })
    }
}

impl Vocabulary {
    fn tokens(&self, name: &str, text: &[u8]) -> Result<Vec<i32>> {
        if text.is_empty() {
            return Err(Error::data(format!("`{name}` holds no text")));
        }
        let Self::Characters(all) = self else {
            return Ok(text.iter().map(|b| i32::from(*b)).collect());
        };
        let text = utf8(name, text)?;
        // The tokens of ASCII, which most characters are, without a search.
        let ascii: [Option<i32>; 128] = std::array::from_fn(|c| {
            all.binary_search(&char::from(c as u8))
                .ok()
                .map(|t| t as i32)
        });
        let token = |(at, c): (usize, char)| {
            let found = match ascii.get(c as usize) {
                Some(found) => *found,
                None => all.binary_search(&c).ok().map(|t| t as i32),
            };
            found.ok_or_else(|| {
                let found = quote(c.encode_utf8(&mut [0; 4]).as_bytes());
                let message = format!("the vocabulary has no character {found}");
                Error::data_at(place(name, text.as_bytes(), at), message)
            })
        };
        text.char_indices().map(token).collect()
    }
}

fn utf8<'a>(name: &str, text: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(text).map_err(|e| {
        let place = place(name, text, e.valid_up_to());
        Error::data_at(place, "the text is not UTF-8").with_hint("read it as bytes, or convert it")
    })
}

fn place(name: &str, text: &[u8], at: usize) -> Place {
    let before = &text[..at];
    let start = before
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |i| i + 1);
    Place {
        file: name.to_owned(),
        line: before.iter().filter(|b| **b == b'\n').count() as u64 + 1,
        column: (at - start) as u64 + 1,
    }
}

/// Windows of a text: examples for a network that predicts the next token at every step.
#[derive(Clone, Copy, Debug)]
pub struct Windows<'a> {
    tokens: &'a [i32],
    length: usize,
    stride: usize,
}

impl Windows<'_> {
    /// How many there are: those whose targets are all in the text.
    pub fn count(&self) -> usize {
        (self.tokens.len() - 1 - self.length) / self.stride + 1
    }

    /// Tokens of a window.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Copies the windows with these numbers and their targets, one after another (`which.len() * length` each).
    ///
    /// # Errors
    /// Windows that do not exist, and arrays of another length.
    pub fn copy(
        &self,
        which: impl IntoIterator<Item = usize, IntoIter: ExactSizeIterator>,
        inputs: &mut [i32],
        targets: &mut [i32],
    ) -> Result<()> {
        let which = which.into_iter();
        for (what, found) in [("inputs", inputs.len()), ("targets", targets.len())] {
            if Some(found) != which.len().checked_mul(self.length) {
                return Err(Error::shape(what, found, [which.len(), self.length]));
            }
        }
        let outputs = inputs
            .chunks_mut(self.length)
            .zip(targets.chunks_mut(self.length));
        for (i, (inputs, targets)) in which.zip(outputs) {
            if i >= self.count() {
                let text = format!("window {i}; there are {}", self.count());
                return Err(Error::new(ErrorKind::Argument, text));
            }
            let own = &self.tokens[i * self.stride..][..=self.length];
            inputs.copy_from_slice(&own[..self.length]);
            targets.copy_from_slice(&own[1..]);
        }
        Ok(())
    }
}

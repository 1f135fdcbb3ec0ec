//! How each shape is made, and what it takes.

use super::compare::{Whole, full_bytes};
use super::{Absence, Shape, ShapeOptions};
use crate::blocks::blocks;
use crate::decomposed::Decomposed;
use crate::dense_blocks::DenseBlocks;
use crate::diagonals::{Squares, diagonal_with, squares_of};
use crate::factors::Factors;
use crate::place::{Place, places};
use crate::watched::Watch;
use quadric_core::{Matrix, Model};
use quadric_linalg::algebra::Diagonal;
use quadric_linalg::estimate::DiagonalOptions;
use quadric_linalg::random::SeedTree;
use quadric_linalg::spectrum::EigenApproximation;
use quadric_linalg::{Error, ErrorKind, Result, Scalar};
use std::cell::OnceCell;

/// Random vectors of a search for eigenpairs beyond their number, and its products with each.
const BEYOND: usize = 8;
const PASSES: usize = 2;

/// A shape, and what it took.
pub(super) struct Made {
    pub(super) matrix: Box<dyn Decomposed>,
    pub(super) numbers: u64,
    /// In gradients, alone.
    pub(super) gradients: f64,
    /// The part of it that is no product with the matrix.
    pub(super) walks: f64,
    pub(super) without: Vec<String>,
}

/// Why a shape was not made.
pub(super) enum Refusal {
    Absent(Absence),
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(e: Error) -> Self {
        match e.kind() {
            ErrorKind::Capability => Self::Absent(Absence::Undefined(e.message().to_owned())),
            _ => Self::Failed(e),
        }
    }
}

type Attempt = std::result::Result<Made, Refusal>;

pub(super) struct Maker<'a, T: Scalar> {
    model: &'a dyn Model<T>,
    x: &'a [T],
    matrix: Matrix,
    whole: &'a Whole<'a>,
    /// What a product with the matrix costs, in gradients.
    product: f64,
    options: &'a ShapeOptions,
    watch: &'a Watch<'a>,
    /// The squares of gradients that the matrix is a sum of.
    squares: Squares,
    places: OnceCell<Vec<Place>>,
}

impl<'a, T: Scalar> Maker<'a, T> {
    pub(super) fn new(
        (model, x, matrix): (&'a dyn Model<T>, &'a [T], Matrix),
        (whole, product): (&'a Whole<'a>, f64),
        options: &'a ShapeOptions,
        watch: &'a Watch<'a>,
    ) -> Result<Self> {
        Ok(Self {
            model,
            x,
            matrix,
            whole,
            product,
            options,
            watch,
            squares: squares_of(model, x, matrix)?,
            places: OnceCell::new(),
        })
    }

    /// What was found out beside the shapes, in gradients.
    pub(super) fn overhead(&self) -> f64 {
        let places = f64::from(u8::from(self.places.get().is_some()));
        self.squares.cost * self.product + places
    }

    pub(super) fn make(&self, shape: Shape) -> Attempt {
        match shape {
            Shape::Full => self.full(),
            Shape::Layers => self.layers(),
            Shape::Kronecker => self.kronecker(false),
            Shape::Ekfac => self.kronecker(true),
            Shape::Units => self.units(),
            Shape::Diagonal => self.diagonal(),
            Shape::LowRank => self.low_rank(),
        }
    }

    /// Refuses what takes more bytes than there are.
    fn fits(&self, numbers: u64, copies: u64) -> std::result::Result<(), Refusal> {
        let bytes = numbers.saturating_mul(8).saturating_mul(copies);
        match bytes <= self.options.memory {
            true => Ok(()),
            false => Err(Refusal::Absent(Absence::Memory(bytes))),
        }
    }

    /// Refuses what takes more products, or gradients, than are allowed.
    fn takes(&self, products: usize) -> std::result::Result<(), Refusal> {
        match products <= self.options.products {
            true => Ok(()),
            false => Err(Refusal::Absent(Absence::Products(products as u64))),
        }
    }

    fn d(&self) -> usize {
        self.x.len()
    }

    /// Products with all unit vectors, unless all of the matrix is there.
    fn takes_all(&self) -> std::result::Result<(), Refusal> {
        match self.whole.is_written() {
            true => Ok(()),
            false => self.takes(self.d()),
        }
    }

    fn by_products(&self, matrix: Box<dyn Decomposed>, numbers: u64, products: usize) -> Made {
        Made {
            matrix,
            numbers,
            gradients: products as f64 * self.product,
            walks: 0.0,
            without: Vec::new(),
        }
    }

    fn full(&self) -> Attempt {
        let d = self.d();
        let Some(eigen) = self.whole.eigen() else {
            let bytes = full_bytes(d);
            return Err(Refusal::Absent(match bytes > self.options.memory {
                true => Absence::Memory(bytes),
                false => Absence::Products(d as u64),
            }));
        };
        let numbers = (d as u64).saturating_mul(d as u64);
        Ok(self.by_products(Box::new(eigen.clone()), numbers, d))
    }

    fn layers(&self) -> Attempt {
        let layers = blocks(self.model.layout());
        let square = |n: usize| (n as u64).saturating_mul(n as u64);
        let sizes = layers.iter().map(|l| square(l.range.len()));
        let numbers = sizes.fold(0, u64::saturating_add);
        self.fits(numbers, 3)?;
        self.takes_all()?;
        let matrix = DenseBlocks::layers(self.whole.op(), &layers)?;
        Ok(self.by_products(Box::new(matrix), numbers, self.d()))
    }

    /// The matrix whose gradients go through the layers, and their number for each example.
    fn fisher(&self, what: &str) -> std::result::Result<(Matrix, usize), Refusal> {
        let Some(matrix) = self.squares.matrix else {
            let text = match self.matrix {
                Matrix::GaussNewton => format!(
                    "this Gauss-Newton matrix has no {what}: it is no Fisher matrix, since the loss has a penalty or is no density's"
                ),
                _ => format!(
                    "only Fisher matrices have {what}, and Gauss-Newton matrices that are equal to one"
                ),
            };
            return Err(Refusal::Absent(Absence::Undefined(text)));
        };
        Ok((matrix, self.squares.columns))
    }

    fn places(&self) -> std::result::Result<&[Place], Refusal> {
        if self.places.get().is_none() {
            let found = places(self.model, self.x)?;
            // It was empty.
            let _ = self.places.set(found);
        }
        Ok(self.places.get().map_or(&[], Vec::as_slice))
    }

    /// Names of the pieces of the parameters that no layer has.
    fn without(&self, places: &[Place]) -> Vec<String> {
        let segments = self.model.layout().segments().iter().enumerate();
        let others = segments.filter(|(i, s)| {
            let has = |p: &Place| p.weight() == *i || p.bias() == Some(*i);
            !s.range().is_empty() && !places.iter().any(has)
        });
        others.map(|(_, s)| s.name.clone()).collect()
    }

    fn kronecker(&self, corrected: bool) -> Attempt {
        let (matrix, columns) = self.fisher("Kronecker factors")?;
        let (places, passes) = (self.places()?, 1 + usize::from(corrected));
        let of = |place: &Place| {
            let (p, q) = place.shape();
            let [p, q] = [p as u64, q as u64];
            (p * p).saturating_add(q * q)
        };
        let entries = |place: &Place| place.shape().0 as u64 * place.shape().1 as u64;
        let sum = |f: &dyn Fn(&Place) -> u64| places.iter().map(f).fold(0, u64::saturating_add);
        let (factors, entries) = (sum(&of), sum(&entries));
        self.fits(factors.saturating_add(entries), 3)?;
        self.takes(columns.saturating_mul(passes))?;
        let found = Factors::new(self.model, self.x, matrix, self.options.sharing)?;
        let eigen = match corrected {
            true => found.corrected(self.model, self.x)?,
            false => found.eigen()?,
        };
        let walks = (columns * passes) as f64;
        Ok(Made {
            matrix: Box::new(eigen),
            numbers: factors.saturating_add(if corrected { entries } else { 0 }),
            gradients: walks,
            walks,
            without: self.without(places),
        })
    }

    fn units(&self) -> Attempt {
        let places = self.places()?;
        let square = |place: &Place| {
            let (p, q) = place.shape();
            (p as u64).saturating_mul((q as u64).saturating_mul(q as u64))
        };
        let numbers = places.iter().map(square).fold(0, u64::saturating_add);
        self.fits(numbers, 3)?;
        let without = self.without(places);
        if let (Some(matrix), columns) = (self.squares.matrix, self.squares.columns) {
            self.takes(columns)?;
            let units = DenseBlocks::units(self.model, self.x, matrix)?;
            return Ok(Made {
                matrix: Box::new(units),
                numbers,
                gradients: columns as f64,
                walks: columns as f64,
                without,
            });
        }
        self.takes_all()?;
        let units = places.iter().flat_map(|place| {
            let at: Vec<usize> = place.positions().collect();
            let units = at.chunks(place.shape().1).map(<[usize]>::to_vec);
            units.collect::<Vec<_>>()
        });
        let matrix = DenseBlocks::of_coordinates(self.whole.op(), units.collect())?;
        let made = self.by_products(Box::new(matrix), numbers, self.d());
        Ok(Made { without, ..made })
    }

    fn diagonal(&self) -> Attempt {
        let d = self.d();
        let options = DiagonalOptions {
            level: self.options.level,
            products: match self.whole.is_written() {
                true => d,
                false => self.options.diagonal_products,
            },
            ..DiagonalOptions::default()
        };
        self.fits((d as u64).saturating_mul(options.products.min(d) as u64), 2)?;
        let seed = SeedTree::new(self.options.seed);
        let of = (self.model, self.x, self.matrix);
        let at = (&self.squares, self.whole.op());
        let found = diagonal_with(of, at, &options, seed, self.watch)?;
        let matrix = Box::new(Diagonal(found.report.values));
        let made = self.by_products(matrix, d as u64, found.products);
        let (gradients, walks) = (made.gradients + found.walks, found.walks);
        Ok(Made {
            gradients,
            walks,
            ..made
        })
    }

    fn low_rank(&self) -> Attempt {
        let d = self.d();
        let rank = self.options.rank.min(d);
        let vectors = (rank + BEYOND).min(d);
        let numbers = (d as u64 + 1).saturating_mul(rank as u64);
        self.fits((d as u64).saturating_mul(vectors as u64), 4)?;
        let products = vectors * (PASSES + 1);
        if !self.whole.is_written() {
            self.takes(products)?;
        }
        let seed = SeedTree::new(self.options.seed).child("low rank");
        let found = EigenApproximation::randomized(self.whole.op(), rank, PASSES, seed)?;
        Ok(self.by_products(Box::new(found), numbers, products))
    }
}

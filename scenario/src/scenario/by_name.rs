//! Reads what is either a name or a mapping of fields.
//!
//! A derived reader tries one form after the other on a copy of the value and then says that neither fits; here the
//! form decides, so a wrong field is named.

use super::{AcceleratorChoice, ModelChoice};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::marker::PhantomData;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// A type with the two forms.
trait ByName: Sized {
    /// What the mapping holds.
    type Own: for<'de> Deserialize<'de>;
    /// From a name.
    fn of_name(name: String) -> Self;
    /// From a mapping.
    fn of_own(own: Self::Own) -> Self;
}

impl ByName for ModelChoice {
    type Own = Box<crate::catalog::ModelSpec>;

    fn of_name(name: String) -> Self {
        ModelChoice::Id(name)
    }

    fn of_own(own: Self::Own) -> Self {
        ModelChoice::Custom(own)
    }
}

impl ByName for AcceleratorChoice {
    type Own = Box<crate::catalog::AcceleratorSpec>;

    fn of_name(name: String) -> Self {
        AcceleratorChoice::Id(name)
    }

    fn of_own(own: Self::Own) -> Self {
        AcceleratorChoice::Custom(own)
    }
}

struct Either<T>(PhantomData<T>);

impl<'de, T: ByName> Visitor<'de> for Either<T> {
    type Value = T;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a name of the catalogue or a mapping of fields")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<T, E> {
        Ok(T::of_name(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::Own::deserialize(MapAccessDeserializer::new(map)).map(T::of_own)
    }
}

impl<'de> Deserialize<'de> for ModelChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either(PhantomData))
    }
}

impl<'de> Deserialize<'de> for AcceleratorChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either(PhantomData))
    }
}

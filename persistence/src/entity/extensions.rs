//! Values of the application that handlers reach by their types.

use std::any::{Any, TypeId, type_name};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Values of the application that the handlers of an entity type reach through their context, one
/// value for each type. Cheap to clone: the clones share the values.
///
/// ```
/// use antiphon_persistence::entity::Extensions;
///
/// struct Prices(u32);
///
/// let extensions = Extensions::default().with(Prices(7));
/// assert_eq!(extensions.get::<Prices>().map(|prices| prices.0), Some(7));
/// assert!(extensions.get::<String>().is_none());
/// ```
#[derive(Clone, Default)]
pub struct Extensions {
    values: Arc<BTreeMap<TypeId, Extension>>,
}

#[derive(Clone)]
struct Extension {
    type_name: &'static str,
    value: Arc<dyn Any + Send + Sync>,
}

impl Extensions {
    /// The same values, and this one. A value of the same type is replaced.
    ///
    /// ```
    /// use antiphon_persistence::entity::Extensions;
    ///
    /// let extensions = Extensions::default().with(1_u8).with("mail").with(2_u8);
    /// assert_eq!(extensions.get(), Some(&2_u8));
    /// assert_eq!(extensions.get(), Some(&"mail"));
    /// ```
    #[must_use]
    pub fn with<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        let extension = Extension { type_name: type_name::<T>(), value: Arc::new(value) };
        Arc::make_mut(&mut self.values).insert(TypeId::of::<T>(), extension);
        self
    }

    /// The value of this type.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.values.get(&TypeId::of::<T>())?.value.downcast_ref()
    }
}

impl fmt::Debug for Extensions {
    /// Shows the types of the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.values().map(|extension| extension.type_name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_shares_its_values_and_does_not_get_those_that_the_other_adds() {
        let first = Extensions::default().with(String::from("shared"));
        let second = first.clone().with(5_u64);
        let (shared, same) = (first.get::<String>(), second.get::<String>());
        assert!(std::ptr::eq(shared.unwrap(), same.unwrap()));
        assert_eq!((first.get::<u64>(), second.get::<u64>()), (None, Some(&5)));
        assert_eq!(format!("{first:?}"), "{\"alloc::string::String\"}");
    }
}

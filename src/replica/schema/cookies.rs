//! Which cookie is assigned to which schema.

use crate::replica::schema::digest::Digest;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

/// The first cookie that no primary uses: primaries count changes of the schema from 0. SQLite shows cookies as signed
/// numbers, and half of the non-negative ones are from here on.
const FIRST_UNIQUE: u32 = 1 << 30;

/// The distance of such cookies. SQLite counts on from each of them.
const STEP: u32 = 64;

/// How many schemas are remembered.
const MAX_SCHEMAS: usize = 4096;

/// Returns a cookie that no schema has and that is never assigned in this process. A child of a fork inherits the value of the counter,
/// so it does not reuse a cookie that the parent assigned before the fork.
pub fn unique() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(FIRST_UNIQUE);
    NEXT.fetch_add(STEP, Ordering::Relaxed)
}

/// The cookies that a replica shows. Each is assigned to one schema.
pub(super) struct Cookies {
    /// The schemas and their cookies, by the cookie of the primary.
    assigned: BTreeMap<u32, Vec<(Digest, u32)>>,
    count: usize,
    /// Cookies of the primary up to this one may have been assigned to schemas that are no longer remembered.
    forgotten: Option<u32>,
    uses_primarys: bool,
}

impl Cookies {
    /// With `uses_primarys`, the first schema that has a cookie at the primary has the same cookie here.
    pub(super) fn new(uses_primarys: bool) -> Cookies {
        Cookies { assigned: BTreeMap::new(), count: 0, forgotten: None, uses_primarys }
    }

    /// Returns the cookie of a schema that has the cookie `primarys` at the primary.
    pub(super) fn assign(&mut self, primarys: u32, schema: Digest) -> u32 {
        let known = self.assigned.get(&primarys).into_iter().flatten();
        if let Some((_, cookie)) = known.clone().find(|(known, _)| *known == schema) {
            return *cookie;
        }
        let is_free = known.count() == 0 && self.forgotten.is_none_or(|forgotten| primarys > forgotten);
        let cookie = if is_free && self.uses_primarys && primarys < FIRST_UNIQUE { primarys } else { unique() };
        if self.count >= MAX_SCHEMAS {
            self.forget_lowest();
        }
        self.assigned.entry(primarys).or_default().push((schema, cookie));
        self.count += 1;
        cookie
    }

    /// Forgets the schemas with the lowest cookie of the primary, which are the oldest.
    fn forget_lowest(&mut self) {
        if let Some((primarys, schemas)) = self.assigned.pop_first() {
            self.count -= schemas.len();
            self.forgotten = self.forgotten.max(Some(primarys));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::schema::digest::Keys;
    use std::collections::HashMap;

    fn schemas<const N: usize>() -> [Digest; N] {
        let keys = Keys::default();
        std::array::from_fn(|number| keys.digest([&number.to_be_bytes()[..]].into_iter()))
    }

    #[test]
    fn a_schema_has_the_primarys_cookie_unless_another_schema_has_it() {
        let ([a, b], mut cookies) = (schemas(), Cookies::new(true));
        assert_eq!((cookies.assign(7, a), cookies.assign(8, b)), (7, 8));
        let other = cookies.assign(7, b);
        assert!(other >= FIRST_UNIQUE);
        assert_eq!((cookies.assign(7, b), cookies.assign(7, a), cookies.assign(8, b)), (other, 7, 8));
        let high = cookies.assign(FIRST_UNIQUE + 5, a);
        assert!(high >= FIRST_UNIQUE && high != other, "a cookie that could be assigned is not the primary's");
        assert_eq!(cookies.assign(0, a), 0);
    }

    #[test]
    fn a_child_of_a_fork_assigns_no_cookie_that_its_parent_may_have_assigned() {
        let ([a], mut parent) = (schemas(), Cookies::new(true));
        let mut child = Cookies::new(false);
        parent.assign(7, a);
        let cookie = child.assign(7, a);
        assert!(cookie >= FIRST_UNIQUE);
        assert_eq!(child.assign(7, a), cookie);
    }

    /// More schemas than are remembered, under few and under many of the primary's cookies.
    #[test]
    fn the_cookie_of_a_forgotten_schema_is_never_assigned_to_another() {
        for spread in [1, 50, 2 * MAX_SCHEMAS] {
            let (all, mut cookies) = (schemas::<{ 2 * MAX_SCHEMAS + 100 }>(), Cookies::new(true));
            let mut assigned: HashMap<u32, Digest> = HashMap::new();
            for round in 0..2 {
                for (number, schema) in all.iter().enumerate() {
                    let cookie = cookies.assign((number * 7 % spread) as u32, *schema);
                    assert_eq!(*assigned.entry(cookie).or_insert(*schema), *schema, "cookie {cookie} in round {round}");
                    assert!(cookies.count <= MAX_SCHEMAS);
                }
            }
        }
    }
}

//! Which cookie was handed out for which schema.

use crate::replica::schema::content::Digest;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The first of the cookies that are no primary's. Primaries count changes of the schema from 0 on. SQLite shows cookies as
/// signed numbers, of which this leaves half.
const FIRST: u32 = 1 << 30;

/// So many schemas are remembered.
const MOST: usize = 4096;

/// A cookie that is handed out once in a process. A child of a fork inherits the counter with its value, so that none stands for
/// what the parent handed it out for.
pub(super) fn fresh() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(FIRST);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The cookies that a replica shows. Each was handed out for one schema.
pub(super) struct Cookies {
    /// By the primary's cookie.
    handed_out: BTreeMap<u32, Vec<(Digest, u32)>>,
    count: usize,
    /// The primary's cookies up to this one may have been shown for schemas that were forgotten since.
    forgotten: Option<u32>,
    shows_primarys: bool,
}

impl Cookies {
    /// With `shows_primarys`, the first schema under one of the primary's cookies keeps it.
    pub(super) fn new(shows_primarys: bool) -> Cookies {
        Cookies { handed_out: BTreeMap::new(), count: 0, forgotten: None, shows_primarys }
    }

    /// The cookie for a schema that has this cookie at the primary.
    pub(super) fn hand_out(&mut self, primarys: u32, schema: Digest) -> u32 {
        let known = self.handed_out.get(&primarys).into_iter().flatten();
        if let Some((_, cookie)) = known.clone().find(|(known, _)| *known == schema) {
            return *cookie;
        }
        let is_free = known.count() == 0 && self.forgotten.is_none_or(|forgotten| primarys > forgotten);
        let cookie = if is_free && self.shows_primarys && primarys < FIRST { primarys } else { fresh() };
        if self.count >= MOST {
            self.forget_lowest();
        }
        self.handed_out.entry(primarys).or_default().push((schema, cookie));
        self.count += 1;
        cookie
    }

    /// Forgets the schemas under the primary's lowest cookie, which are the oldest.
    fn forget_lowest(&mut self) {
        if let Some((primarys, schemas)) = self.handed_out.pop_first() {
            self.count -= schemas.len();
            self.forgotten = self.forgotten.max(Some(primarys));
        }
    }
}

/// The cookie that a view shows, once that is known: 0, or the cookie with a bit above it. It takes no lock, because a child of a
/// fork inherits views.
#[derive(Default)]
pub(in crate::replica) struct ShownCookie(AtomicU64);

impl ShownCookie {
    const KNOWN: u64 = 1 << 32;

    pub(in crate::replica) fn of(cookie: u32) -> ShownCookie {
        ShownCookie(AtomicU64::new(Self::KNOWN | u64::from(cookie)))
    }

    pub(in crate::replica) fn get(&self) -> Option<u32> {
        let value = self.0.load(Ordering::Relaxed);
        (value & Self::KNOWN != 0).then_some(value as u32)
    }

    /// Keeps a cookie, unless there is one. Returns the one that is kept.
    pub(in crate::replica) fn keep(&self, cookie: u32) -> u32 {
        let new = Self::KNOWN | u64::from(cookie);
        match self.0.compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => cookie,
            Err(kept) => kept as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::schema::content::Keys;
    use std::collections::HashMap;

    fn schemas<const N: usize>() -> [Digest; N] {
        let keys = Keys::default();
        std::array::from_fn(|number| keys.digest([&number.to_be_bytes()[..]].into_iter()))
    }

    #[test]
    fn a_schema_keeps_the_primarys_cookie_unless_that_stood_for_another() {
        let ([a, b], mut cookies) = (schemas(), Cookies::new(true));
        assert_eq!((cookies.hand_out(7, a), cookies.hand_out(8, b)), (7, 8));
        let other = cookies.hand_out(7, b);
        assert!(other >= FIRST);
        assert_eq!((cookies.hand_out(7, b), cookies.hand_out(7, a), cookies.hand_out(8, b)), (other, 7, 8));
        let high = cookies.hand_out(FIRST + 5, a);
        assert!(high >= FIRST && high != other, "a cookie that could be handed out is not the primary's");
        assert_eq!(cookies.hand_out(0, a), 0);
    }

    #[test]
    fn a_child_of_a_fork_shows_no_cookie_that_its_parent_could_have_shown() {
        let ([a], mut parent) = (schemas(), Cookies::new(true));
        let mut child = Cookies::new(false);
        parent.hand_out(7, a);
        let cookie = child.hand_out(7, a);
        assert!(cookie >= FIRST);
        assert_eq!(child.hand_out(7, a), cookie);
    }

    /// More schemas than are remembered, under few and under many of the primary's cookies.
    #[test]
    fn what_was_forgotten_never_has_its_cookie_shown_for_another() {
        for spread in [1, 50, 2 * MOST] {
            let (all, mut cookies) = (schemas::<{ 2 * MOST + 100 }>(), Cookies::new(true));
            let mut shown: HashMap<u32, Digest> = HashMap::new();
            for turn in 0..2 {
                for (number, schema) in all.iter().enumerate() {
                    let cookie = cookies.hand_out((number * 7 % spread) as u32, *schema);
                    assert_eq!(*shown.entry(cookie).or_insert(*schema), *schema, "cookie {cookie} in turn {turn}");
                    assert!(cookies.count <= MOST);
                }
            }
        }
    }
}

//! Detects endless paged lists and limits the memory of a listing.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_128;

/// Maximum number of items in one list. It is five times the number of recordings per month in the
/// largest accounts that Zoom describes. A list with more items counts as endless.
const MAX_ITEMS: usize = 50_000;

/// Timeout of all pages of one list. A page takes a second or two, so this is sufficient for dozens
/// of pages. A user at a prompt may wait for the first listing.
const LIST_TIMEOUT: Duration = Duration::from_secs(90);

/// Maximum memory in bytes for the new items of one listing, over all windows and users. It is
/// sufficient for sixty thousand meetings with half a dozen files each. A larger listing is
/// incomplete, and the next listing continues it, because items that are already stored do not
/// count.
const MAX_LISTING_MEMORY: usize = 256 * 1024 * 1024;

/// The reason why a list counts as endless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum EndlessList {
    #[error("the list has no last page")]
    TooManyPages,
    #[error("the provider returned the same next page twice")]
    RepeatedPage,
    #[error("the provider sent several pages without a new entry")]
    PagesWithoutNewItems,
    #[error("the list has more than {MAX_ITEMS} entries")]
    TooManyItems,
    #[error("the list was not received completely within {} s", LIST_TIMEOUT.as_secs())]
    TooSlow,
    #[error(
        "the provider listed more new recordings than one refresh can store; the next refresh \
         continues"
    )]
    TooLarge,
}

impl EndlessList {
    /// Whether the lists of other days would be endless as well, so they need not be requested.
    pub(crate) fn applies_to_all_days(self) -> bool {
        match self {
            Self::TooManyPages | Self::TooManyItems | Self::TooSlow | Self::TooLarge => true,
            Self::RepeatedPage | Self::PagesWithoutNewItems => false,
        }
    }
}

/// The remaining memory for the items of one listing.
#[derive(Debug)]
pub(crate) struct ListingBudget(AtomicUsize);

impl Default for ListingBudget {
    fn default() -> Self {
        Self(AtomicUsize::new(MAX_LISTING_MEMORY))
    }
}

impl ListingBudget {
    /// Charges the memory of the items on a page.
    ///
    /// # Errors
    /// Returns an error if this page or an earlier one exceeded the budget.
    pub(crate) fn spend(&self, bytes: usize) -> Result<(), EndlessList> {
        let subtract = |remaining: usize| Some(remaining.saturating_sub(bytes));
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, subtract) {
            Ok(remaining) if remaining > bytes => Ok(()),
            _ => Err(EndlessList::TooLarge),
        }
    }
}

/// The limits of one list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageLimits {
    pub(crate) max_pages: usize,
    /// Maximum number of consecutive pages without a new item. A filter of the server may leave a
    /// page empty, so one such page is not an error.
    pub(crate) max_pages_without_new_items: usize,
}

/// Counts the pages and items of one list, and detects whether the list is endless.
#[derive(Debug)]
pub(crate) struct PageGuard {
    limits: PageLimits,
    page_count: usize,
    pages_without_new_items: usize,
    /// Hashes of the item ids. The ids themselves can have any length.
    item_hashes: HashSet<u128>,
    /// Hashes of the tokens or URLs of the next pages.
    next_page_hashes: HashSet<u128>,
    deadline: Instant,
}

impl PageGuard {
    pub(crate) fn new(limits: PageLimits) -> Self {
        Self {
            limits,
            page_count: 0,
            pages_without_new_items: 0,
            item_hashes: HashSet::new(),
            next_page_hashes: HashSet::new(),
            deadline: Instant::now() + LIST_TIMEOUT,
        }
    }

    /// Counts a request for a page. Returns an error if the limit of pages, items or time has been
    /// reached.
    pub(crate) fn begin_page(&mut self) -> Result<(), EndlessList> {
        if self.page_count == self.limits.max_pages {
            return Err(EndlessList::TooManyPages);
        }
        if self.item_hashes.len() >= MAX_ITEMS {
            return Err(EndlessList::TooManyItems);
        }
        // The first page is limited by its own timeout.
        if self.page_count > 0 && Instant::now() >= self.deadline {
            return Err(EndlessList::TooSlow);
        }
        self.page_count += 1;
        Ok(())
    }

    /// Records the ids of the items on a page. If this function is never called, no page counts as
    /// a page without new items.
    pub(crate) fn record_items<'a>(&mut self, items: impl IntoIterator<Item = &'a str>) {
        let previous_count = self.item_hashes.len();
        self.item_hashes.extend(items.into_iter().map(|item| xxh3_128(item.as_bytes())));
        self.pages_without_new_items = if self.item_hashes.len() == previous_count {
            self.pages_without_new_items + 1
        } else {
            0
        };
    }

    /// Checks the token or URL of the next page before it is requested.
    pub(crate) fn check_next_page(&mut self, next: &str) -> Result<(), EndlessList> {
        if !self.next_page_hashes.insert(xxh3_128(next.as_bytes())) {
            return Err(EndlessList::RepeatedPage);
        }
        if self.pages_without_new_items >= self.limits.max_pages_without_new_items {
            return Err(EndlessList::PagesWithoutNewItems);
        }
        Ok(())
    }

    /// Clears the recorded items, because the list is requested again from its first page. The
    /// number of requested pages is not reset.
    pub(crate) fn restart(&mut self) {
        self.pages_without_new_items = 0;
        self.item_hashes.clear();
        self.next_page_hashes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> PageGuard {
        PageGuard::new(PageLimits { max_pages: 3, max_pages_without_new_items: 2 })
    }

    #[test]
    fn restart_does_not_reset_the_page_limit() {
        let mut guard = guard();
        for _ in 0..3 {
            guard.begin_page().unwrap();
            guard.restart();
        }
        assert_eq!(guard.begin_page(), Err(EndlessList::TooManyPages));
    }

    #[test]
    fn repeated_page_is_detected_at_any_distance() {
        let mut guard = guard();
        guard.check_next_page("a").unwrap();
        guard.check_next_page("b").unwrap();
        assert_eq!(guard.check_next_page("a"), Err(EndlessList::RepeatedPage));
        guard.restart();
        guard.check_next_page("a").unwrap();
    }

    #[test]
    fn number_of_items_is_limited() {
        let mut guard =
            PageGuard::new(PageLimits { max_pages: 1000, max_pages_without_new_items: 2 });
        let mut page_count = 0_usize;
        let error = loop {
            if let Err(error) = guard.begin_page() {
                break error;
            }
            let ids: Vec<_> = (0..300).map(|item| format!("{page_count}-{item}")).collect();
            guard.record_items(ids.iter().map(String::as_str));
            page_count += 1;
        };
        assert_eq!((error, page_count), (EndlessList::TooManyItems, MAX_ITEMS.div_ceil(300)));
    }

    #[tokio::test(start_paused = true)]
    async fn list_ends_at_its_timeout() {
        let mut guard =
            PageGuard::new(PageLimits { max_pages: 1000, max_pages_without_new_items: 2 });
        let start = Instant::now();
        while guard.begin_page().is_ok() {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        assert_eq!(start.elapsed(), LIST_TIMEOUT);
        assert_eq!(guard.begin_page(), Err(EndlessList::TooSlow));
    }

    #[test]
    fn exceeded_budget_stays_exceeded() {
        let budget = ListingBudget::default();
        budget.spend(MAX_LISTING_MEMORY - 10).unwrap();
        budget.spend(9).unwrap();
        for bytes in [1, 1, usize::MAX] {
            assert_eq!(budget.spend(bytes), Err(EndlessList::TooLarge));
        }
    }

    #[test]
    fn new_item_resets_pages_without_new_items() {
        let mut guard = guard();
        for (number, items) in
            [vec!["a"], vec!["a"], vec!["a", "b"], vec![]].into_iter().enumerate()
        {
            guard.record_items(items);
            guard.check_next_page(&number.to_string()).unwrap();
        }
        guard.record_items(["b"]);
        assert_eq!(guard.check_next_page("4"), Err(EndlessList::PagesWithoutNewItems));
        guard.restart();
        guard.check_next_page("4").unwrap();
    }
}

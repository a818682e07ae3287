//! Detects a paged list that has no end, and bounds what a listing keeps in memory.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_128;

/// Maximum of items of one list: five times the recordings of a month in the largest accounts that
/// Zoom describes. More is a list without an end.
const MAX_ITEMS: usize = 50_000;

/// Time for all pages of one list. A page takes a second or two, so this is for dozens of pages; a
/// user waits at a prompt for the first listing.
const LIST_TIMEOUT: Duration = Duration::from_secs(90);

/// Memory for the new items of one listing, windows and users together. Sixty thousand meetings
/// with half a dozen files each fit in. A larger listing is incomplete. The next one continues,
/// because items that are already stored do not count against the limit.
const MAX_LISTING_MEMORY: usize = 256 * 1024 * 1024;

/// The sign by which an endless list was detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum EndlessList {
    #[error("sent a list without a last page")]
    TooManyPages,
    #[error("named the same next page twice")]
    RepeatedPage,
    #[error("sent several pages without a new entry")]
    PagesWithoutNewItems,
    #[error("listed more than {MAX_ITEMS} recordings of one span of days")]
    TooManyItems,
    #[error("did not reach the last page within {} s", LIST_TIMEOUT.as_secs())]
    TooSlow,
    #[error("listed more new recordings than one refresh can store; the next refresh continues")]
    TooLarge,
}

impl EndlessList {
    /// Whether lists of other days need not be requested, because they would waste as much.
    pub(crate) fn is_of_whole_list(self) -> bool {
        match self {
            Self::TooManyPages | Self::TooManyItems | Self::TooSlow | Self::TooLarge => true,
            Self::RepeatedPage | Self::PagesWithoutNewItems => false,
        }
    }
}

/// The memory that is left for the items of one listing.
#[derive(Debug)]
pub(crate) struct ListingBudget(AtomicUsize);

impl Default for ListingBudget {
    fn default() -> Self {
        Self(AtomicUsize::new(MAX_LISTING_MEMORY))
    }
}

impl ListingBudget {
    /// Takes the memory of the items of a page.
    ///
    /// # Errors
    /// The budget is exceeded, now or before.
    pub(crate) fn spend(&self, bytes: usize) -> Result<(), EndlessList> {
        let take = |remaining: usize| Some(remaining.saturating_sub(bytes));
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(remaining) if remaining > bytes => Ok(()),
            _ => Err(EndlessList::TooLarge),
        }
    }
}

/// The limits of one list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageLimits {
    pub(crate) max_pages: usize,
    /// Maximum number of pages in a row without a new item. A filter of the server may leave a page
    /// empty, so one such page is not an error.
    pub(crate) max_pages_without_new_items: usize,
}

/// Follows the requests for the pages of one list.
#[derive(Debug)]
pub(crate) struct PageGuard {
    limits: PageLimits,
    pages: usize,
    pages_without_new_items: usize,
    /// Hashes: the texts can have any length.
    items: HashSet<u128>,
    next_pages: HashSet<u128>,
    deadline: Instant,
}

impl PageGuard {
    pub(crate) fn new(limits: PageLimits) -> Self {
        Self {
            limits,
            pages: 0,
            pages_without_new_items: 0,
            items: HashSet::new(),
            next_pages: HashSet::new(),
            deadline: Instant::now() + LIST_TIMEOUT,
        }
    }

    /// Counts a request for a page. Returns an error if the maximum number of pages has been
    /// requested.
    pub(crate) fn begin_page(&mut self) -> Result<(), EndlessList> {
        if self.pages == self.limits.max_pages {
            return Err(EndlessList::TooManyPages);
        }
        if self.items.len() >= MAX_ITEMS {
            return Err(EndlessList::TooManyItems);
        }
        // A single page has a timeout of its own.
        if self.pages > 0 && Instant::now() >= self.deadline {
            return Err(EndlessList::TooSlow);
        }
        self.pages += 1;
        Ok(())
    }

    /// Records the ids of the items of a page. If this is never called, no page counts as a page
    /// without new items.
    pub(crate) fn record_items<'a>(&mut self, items: impl IntoIterator<Item = &'a str>) {
        let known = self.items.len();
        self.items.extend(items.into_iter().map(|item| xxh3_128(item.as_bytes())));
        self.pages_without_new_items =
            if self.items.len() == known { self.pages_without_new_items + 1 } else { 0 };
    }

    /// Checks the token or URL of the next page, which the last page contained.
    pub(crate) fn follow(&mut self, next: &str) -> Result<(), EndlessList> {
        if !self.next_pages.insert(xxh3_128(next.as_bytes())) {
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
        self.items.clear();
        self.next_pages.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> PageGuard {
        PageGuard::new(PageLimits { max_pages: 3, max_pages_without_new_items: 2 })
    }

    #[test]
    fn pages_are_bounded_even_over_restarts() {
        let mut guard = guard();
        for _ in 0..3 {
            guard.begin_page().unwrap();
            guard.restart();
        }
        assert_eq!(guard.begin_page(), Err(EndlessList::TooManyPages));
    }

    #[test]
    fn repeated_page_is_found_at_any_distance() {
        let mut guard = guard();
        guard.follow("a").unwrap();
        guard.follow("b").unwrap();
        assert_eq!(guard.follow("a"), Err(EndlessList::RepeatedPage));
        guard.restart();
        guard.follow("a").unwrap();
    }

    #[test]
    fn items_are_bounded() {
        let mut guard =
            PageGuard::new(PageLimits { max_pages: 1000, max_pages_without_new_items: 2 });
        let mut pages = 0_usize;
        let error = loop {
            if let Err(error) = guard.begin_page() {
                break error;
            }
            let ids: Vec<_> = (0..300).map(|item| format!("{pages}-{item}")).collect();
            guard.record_items(ids.iter().map(String::as_str));
            pages += 1;
        };
        assert_eq!((error, pages), (EndlessList::TooManyItems, MAX_ITEMS.div_ceil(300)));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_pages_end_the_list() {
        let mut guard =
            PageGuard::new(PageLimits { max_pages: 1000, max_pages_without_new_items: 2 });
        let began = Instant::now();
        while guard.begin_page().is_ok() {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        assert_eq!(began.elapsed(), LIST_TIMEOUT);
        assert_eq!(guard.begin_page(), Err(EndlessList::TooSlow));
    }

    #[test]
    fn budget_is_shared_and_stays_spent() {
        let budget = ListingBudget::default();
        budget.spend(MAX_LISTING_MEMORY - 10).unwrap();
        budget.spend(9).unwrap();
        for bytes in [1, 1, usize::MAX] {
            assert_eq!(budget.spend(bytes), Err(EndlessList::TooLarge));
        }
    }

    #[test]
    fn pages_without_new_items_count_in_a_row_only() {
        let mut guard = guard();
        for (number, items) in
            [vec!["a"], vec!["a"], vec!["a", "b"], vec![]].into_iter().enumerate()
        {
            guard.record_items(items);
            guard.follow(&number.to_string()).unwrap();
        }
        guard.record_items(["b"]);
        assert_eq!(guard.follow("4"), Err(EndlessList::PagesWithoutNewItems));
        guard.restart();
        guard.follow("4").unwrap();
    }
}

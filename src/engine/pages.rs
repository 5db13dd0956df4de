//! The pages of the KV pool: which are free, which are shared.
//!
//! A page holds 32 positions of one sequence. A full page whose tokens, and all tokens before them,
//! are those of another prompt is shared with it, also after the first sequence has ended, until the
//! page is needed for something else.

use std::collections::{HashMap, VecDeque};

use crate::error::{Error, Result};
use crate::kernels::PAGE;

/// Identifies a full page by its tokens and everything before them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Prefix {
    parent: Option<u32>,
    tokens: Vec<u32>,
}

#[derive(Debug, Default, Clone)]
struct Page {
    n_users: u32,
    prefix: Option<Prefix>,
    /// Counts how often the page was given out, so that a child of an older content is not found.
    generation: u32,
    parent_generation: u32,
}

/// All pages of a pool.
pub struct Pages {
    pages: Vec<Page>,
    /// Pages without users, the longest unused first.
    free: VecDeque<u32>,
    known: HashMap<Prefix, u32>,
}

impl Pages {
    pub fn new(n_pages: usize) -> Pages {
        Pages {
            pages: vec![Page::default(); n_pages],
            free: (0..n_pages as u32).collect(),
            known: HashMap::new(),
        }
    }

    /// The pages that hold the beginning of `tokens` already, each with one user more.
    /// At least one token is left over, since its logits are wanted.
    pub fn shared(&mut self, tokens: &[u32]) -> Vec<u32> {
        let mut found: Vec<u32> = Vec::new();
        let n_full = tokens.len().saturating_sub(1) / PAGE;
        for tokens in tokens.chunks(PAGE).take(n_full) {
            let parent = found.last().copied();
            let prefix = Prefix { parent, tokens: tokens.to_vec() };
            let Some(&page) = self.known.get(&prefix) else { break };
            let generation = parent.map_or(0, |parent| self.pages[parent as usize].generation);
            if self.pages[page as usize].parent_generation != generation {
                break;
            }
            found.push(page);
        }
        for &page in &found {
            self.pages[page as usize].n_users += 1;
            self.free.retain(|&free| free != page);
        }
        found
    }

    /// A page for new content.
    pub fn take(&mut self) -> Result<u32> {
        let page = self.free.pop_front().ok_or_else(|| {
            Error::Input("the KV cache is full; use a larger --context or fewer sequences at once".into())
        })?;
        let entry = &mut self.pages[page as usize];
        if let Some(prefix) = entry.prefix.take()
            && self.known.get(&prefix) == Some(&page)
        {
            self.known.remove(&prefix);
        }
        entry.n_users = 1;
        entry.generation += 1;
        Ok(page)
    }

    /// Notes that `page` now holds `tokens` after `parent`, for others to share.
    pub fn publish(&mut self, page: u32, parent: Option<u32>, tokens: &[u32]) {
        let prefix = Prefix { parent, tokens: tokens.to_vec() };
        let generation = parent.map_or(0, |parent| self.pages[parent as usize].generation);
        let entry = &mut self.pages[page as usize];
        entry.parent_generation = generation;
        entry.prefix = Some(prefix.clone());
        self.known.insert(prefix, page);
    }

    /// Gives up one use of each page.
    pub fn release(&mut self, pages: &[u32]) {
        for &page in pages {
            let entry = &mut self.pages[page as usize];
            entry.n_users -= 1;
            if entry.n_users == 0 {
                self.free.push_back(page);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_beginning_is_shared_until_its_page_is_reused() {
        let mut pages = Pages::new(3);
        let prompt: Vec<u32> = (0..40).collect();
        assert!(pages.shared(&prompt).is_empty());
        let page = pages.take().expect("free");
        pages.publish(page, None, &prompt[..32]);
        assert_eq!(pages.shared(&prompt), [page]);
        // The whole prompt may not be shared: one token has to run.
        assert!(pages.shared(&prompt[..32]).is_empty());
        pages.release(&[page]);
        pages.release(&[page]);
        assert_eq!(pages.shared(&prompt), [page]);
        pages.release(&[page]);
        let all: Vec<u32> = (0..3).map(|_| pages.take().expect("free")).collect();
        assert!(pages.take().is_err());
        assert!(pages.shared(&prompt).is_empty());
        pages.release(&all);
        assert_eq!(pages.free.len(), 3);
    }
}

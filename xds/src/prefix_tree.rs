//! An immutable radix tree over byte strings: finds every stored key that a text begins with, in one walk down.
//! Flat arrays instead of linked nodes: 100,000 keys stay small and near each other.

use std::ops::Range;

/// No value at this node.
const NONE: u32 = u32::MAX;

/// Keys with values; built once from sorted keys.
#[derive(Debug)]
pub struct PrefixTree<T> {
    /// The root is node 0; the children of a node stand side by side, sorted by their first byte.
    nodes: Box<[Node]>,
    labels: Box<[u8]>,
    values: Box<[T]>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    label_start: u32,
    label_len: u32,
    children_start: u32,
    children_len: u16,
    first_byte: u8,
    value: u32,
}

impl<T> PrefixTree<T> {
    /// Builds the tree. The keys must be sorted and distinct.
    pub fn from_sorted(entries: Vec<(Box<[u8]>, T)>) -> Self {
        debug_assert!(
            entries.is_sorted_by(|a, b| a.0 < b.0),
            "keys are sorted and distinct"
        );
        let (keys, values): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        let mut builder = Builder {
            keys: &keys,
            nodes: Vec::new(),
            labels: Vec::new(),
        };
        builder.build();
        Self {
            nodes: builder.nodes.into(),
            labels: builder.labels.into(),
            values: values.into(),
        }
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Calls `visit` with the length and the value of every key that `text` begins with, shortest first.
    pub fn walk<'t>(&'t self, text: &[u8], mut visit: impl FnMut(usize, &'t T)) {
        let mut node = self.nodes[0];
        let mut at = 0;
        loop {
            if node.value != NONE {
                visit(at, &self.values[node.value as usize]);
            }
            let Some(child) = text.get(at).and_then(|byte| self.child(node, *byte)) else {
                return;
            };
            let label = &self.labels[child.label_start as usize..][..child.label_len as usize];
            if !text[at..].starts_with(label) {
                return;
            }
            at += label.len();
            node = child;
        }
    }

    fn child(&self, node: Node, byte: u8) -> Option<Node> {
        let children =
            &self.nodes[node.children_start as usize..][..usize::from(node.children_len)];
        let index = children
            .binary_search_by_key(&byte, |child| child.first_byte)
            .ok()?;
        Some(children[index])
    }
}

struct Builder<'k> {
    keys: &'k [Box<[u8]>],
    nodes: Vec<Node>,
    labels: Vec<u8>,
}

/// A node whose children are still to be made: the keys below it, and how many bytes of them are spent.
struct Open {
    node: usize,
    keys: Range<usize>,
    depth: usize,
}

impl Builder<'_> {
    fn build(&mut self) {
        self.nodes.push(Node {
            label_start: 0,
            label_len: 0,
            children_start: 0,
            children_len: 0,
            first_byte: 0,
            value: NONE,
        });
        let mut queue = std::collections::VecDeque::from([Open {
            node: 0,
            keys: 0..self.keys.len(),
            depth: 0,
        }]);
        while let Some(open) = queue.pop_front() {
            self.fill(open, &mut queue);
        }
    }

    /// Sets the value of a node and makes its children, one for each next byte.
    fn fill(
        &mut self,
        Open {
            node,
            mut keys,
            depth,
        }: Open,
        queue: &mut std::collections::VecDeque<Open>,
    ) {
        if self
            .keys
            .get(keys.start)
            .is_some_and(|key| !keys.is_empty() && key.len() == depth)
        {
            self.nodes[node].value = keys.start as u32;
            keys.start += 1;
        }
        self.nodes[node].children_start = self.nodes.len() as u32;
        while !keys.is_empty() {
            let group = self.group(keys.clone(), depth);
            keys.start = group.end;
            let first = &self.keys[group.start];
            let end = common_prefix(first, &self.keys[group.end - 1]);
            let label_start = self.labels.len() as u32;
            self.labels.extend_from_slice(&first[depth..end]);
            let child = self.nodes.len();
            self.nodes.push(Node {
                label_start,
                label_len: (end - depth) as u32,
                children_start: 0,
                children_len: 0,
                first_byte: first[depth],
                value: NONE,
            });
            self.nodes[node].children_len += 1;
            queue.push_back(Open {
                node: child,
                keys: group,
                depth: end,
            });
        }
    }

    /// The keys from the start of the range that share their byte at `depth`.
    fn group(&self, keys: Range<usize>, depth: usize) -> Range<usize> {
        let byte = self.keys[keys.start][depth];
        let len = self.keys[keys.clone()].partition_point(|key| key[depth] == byte);
        keys.start..keys.start + len
    }
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree(keys: &[&str]) -> PrefixTree<String> {
        let mut keys: Vec<&str> = keys.to_vec();
        keys.sort_unstable();
        keys.dedup();
        PrefixTree::from_sorted(
            keys.into_iter()
                .map(|key| (key.as_bytes().into(), key.to_owned()))
                .collect(),
        )
    }

    fn found(tree: &PrefixTree<String>, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        tree.walk(text.as_bytes(), |len, value| {
            assert_eq!(len, value.len());
            found.push(value.clone());
        });
        found
    }

    #[test]
    fn an_empty_tree_finds_nothing_and_an_empty_key_is_found_always() {
        assert!(found(&tree(&[]), "/a").is_empty());
        assert_eq!(found(&tree(&[""]), "/a"), [""]);
        assert_eq!(found(&tree(&[""]), ""), [""]);
    }

    proptest! {
        #[test]
        fn it_finds_what_a_walk_over_all_keys_finds(
            keys in proptest::collection::vec("[ab/]{0,6}", 0..40),
            texts in proptest::collection::vec("[ab/c]{0,9}", 1..20),
        ) {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let tree = tree(&keys);
            for text in &texts {
                let mut wanted: Vec<String> =
                    keys.iter().filter(|key| text.starts_with(**key)).map(|key| (*key).to_owned()).collect();
                wanted.sort_by_key(String::len);
                wanted.dedup();
                prop_assert_eq!(found(&tree, text), wanted);
            }
        }
    }
}

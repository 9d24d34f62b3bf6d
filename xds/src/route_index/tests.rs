use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::matcher::{
    HeaderCondition, HeaderKey, HeaderMatch, QueryMatch, StringMatch, StringMatchKind,
};
use crate::regex_set;
use crate::route::{Action, Conditions, DirectResponse};

#[derive(Clone, Debug)]
struct Request {
    method: &'static str,
    path: String,
    query: Option<String>,
    header: Option<&'static str>,
}

impl RequestView for Request {
    fn host(&self) -> &'static str {
        "a.example"
    }
    fn method(&self) -> &str {
        self.method
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        (name == "x")
            .then_some(self.header)?
            .map(|value| Cow::Borrowed(value.as_bytes()))
    }
}

#[derive(Clone, Debug)]
struct Spec {
    path: PathMatch,
    method: Option<&'static str>,
    header: Option<&'static str>,
    query: Option<&'static str>,
}

fn exactly(text: &str) -> StringMatch {
    StringMatch {
        kind: StringMatchKind::Exact(text.as_bytes().into()),
        ignore_case: false,
    }
}

fn route(spec: &Spec) -> Arc<Route> {
    let condition = |key, value: &str| HeaderMatch {
        key,
        condition: HeaderCondition::Text(exactly(value)),
        invert: false,
        missing_as_empty: false,
    };
    let method = spec
        .method
        .map(|method| condition(HeaderKey::Method, method));
    let header = spec
        .header
        .map(|value| condition(HeaderKey::Field("x".into()), value));
    let query = spec.query.map(|value| QueryMatch {
        name: "q".into(),
        value: Some(exactly(value)),
    });
    Arc::new(Route {
        name: "".into(),
        path: spec.path.clone(),
        conditions: Some(Box::new(Conditions {
            headers: method.into_iter().chain(header).collect(),
            query: query.into_iter().collect(),
        })),
        action: Action::Respond(Box::new(DirectResponse {
            status: 200,
            body: bytes::Bytes::new(),
        })),
        edits: None,
    })
}

fn path_match() -> impl Strategy<Value = PathMatch> {
    let text = || {
        ("/[abA]{0,2}(/[abA]{0,2}){0,2}", any::<bool>()).prop_map(|(path, ignore_case)| {
            let path = path.trim_end_matches('/');
            if ignore_case {
                PathText::ignoring_case(path)
            } else {
                path.into()
            }
        })
    };
    let prefix = "/[abA]{0,2}(/[abA]{0,2}){0,2}";
    prop_oneof![
        text().prop_map(PathMatch::Exact),
        text().prop_map(PathMatch::SegmentPrefix),
        text().prop_map(PathMatch::Prefix),
        prefix.prop_map(|path| PathMatch::Exact(path.into())),
        prefix.prop_map(|path| PathMatch::Prefix(path.into())),
        "/[ab.]{0,3}(\\*|b)?".prop_filter_map("compiles", |pattern| {
            let regex = regex_set::full_match(&pattern).ok()?;
            Some(PathMatch::Regex {
                pattern: pattern.into(),
                regex: Box::new(regex),
            })
        }),
    ]
}

fn maybe(values: &'static [&'static str]) -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![3 => Just(None), 1 => proptest::sample::select(values).prop_map(Some)]
}

fn spec() -> impl Strategy<Value = Spec> {
    (
        path_match(),
        maybe(&["GET", "POST"]),
        maybe(&["1", "2"]),
        maybe(&["1", "2"]),
    )
        .prop_map(|(path, method, header, query)| Spec {
            path,
            method,
            header,
            query,
        })
}

fn request() -> impl Strategy<Value = Request> {
    let method = proptest::sample::select(&["GET", "POST"][..]);
    let query = prop_oneof![Just(None), "q=[123](&q=[12])?".prop_map(Some)];
    (
        method,
        "/[abA]{0,2}(/[abcB]{0,2}){0,3}",
        query,
        maybe(&["1", "2"]),
    )
        .prop_map(|(method, path, query, header)| Request {
            method,
            path,
            query,
            header,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn the_index_finds_what_a_walk_down_the_list_finds(
        specs in proptest::collection::vec(spec(), 0..40),
        requests in proptest::collection::vec(request(), 1..30),
    ) {
        let routes: Vec<Arc<Route>> = specs.iter().map(route).collect();
        let index = RouteIndex::new(routes.clone()).unwrap();
        for request in &requests {
            let walked = routes.iter().position(|route| route.matches(request));
            let found = index.find(request).map(|found| routes.iter().position(|route| Arc::ptr_eq(route, found)).unwrap());
            prop_assert_eq!(found, walked, "{:?}", request);
        }
    }
}

#[test]
fn a_later_exact_path_does_not_overtake_an_earlier_prefix() {
    let plain = |path| {
        route(&Spec {
            path,
            method: None,
            header: None,
            query: None,
        })
    };
    let index = RouteIndex::new(vec![
        plain(PathMatch::Prefix("/".into())),
        plain(PathMatch::Exact("/a".into())),
    ])
    .unwrap();
    let request = Request {
        method: "GET",
        path: "/a".into(),
        query: None,
        header: None,
    };
    assert!(Arc::ptr_eq(
        index.find(&request).unwrap(),
        &index.routes()[0]
    ));
}

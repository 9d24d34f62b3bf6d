//! Writes out every type name of a set of parsed files in full (`.package.Type`), by protobuf's rule: the innermost scope
//! in which the whole name exists wins. Pure: descriptors in, descriptors changed in place.

use std::collections::HashSet;

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};
use protox::prost_reflect::DescriptorPool;

/// Qualifies the names in all files; the files together with the well-known types must define every name.
pub(super) fn qualify<'a>(files: impl Iterator<Item = &'a mut FileDescriptorProto>) {
    let mut files: Vec<_> = files.collect();
    let mut symbols = Symbols::well_known();
    for file in &files {
        symbols.add(file.package(), &file.message_type, &file.enum_type);
    }
    for file in &mut files {
        symbols.qualify_file(file);
    }
}

/// The full names of all messages and enums.
struct Symbols(HashSet<String>);

impl Symbols {
    fn well_known() -> Self {
        let pool = DescriptorPool::global();
        let messages = pool
            .all_messages()
            .map(|message| message.full_name().to_owned());
        let enums = pool
            .all_enums()
            .map(|descriptor| descriptor.full_name().to_owned());
        Self(messages.chain(enums).collect())
    }

    fn add(&mut self, scope: &str, messages: &[DescriptorProto], enums: &[EnumDescriptorProto]) {
        self.0.extend(
            enums
                .iter()
                .map(|descriptor| join(scope, descriptor.name())),
        );
        for message in messages {
            let name = join(scope, message.name());
            self.add(&name, &message.nested_type, &message.enum_type);
            self.0.insert(name);
        }
    }

    fn qualify_file(&self, file: &mut FileDescriptorProto) {
        let package = file.package().to_owned();
        for message in &mut file.message_type {
            self.qualify_message(&join(&package, message.name()), message);
        }
        for extension in &mut file.extension {
            self.qualify_field(&package, extension);
        }
        for method in file
            .service
            .iter_mut()
            .flat_map(|service| &mut service.method)
        {
            self.qualify_name(&package, &mut method.input_type);
            self.qualify_name(&package, &mut method.output_type);
        }
    }

    fn qualify_message(&self, scope: &str, message: &mut DescriptorProto) {
        for field in message.field.iter_mut().chain(&mut message.extension) {
            self.qualify_field(scope, field);
        }
        for nested in &mut message.nested_type {
            self.qualify_message(&join(scope, nested.name()), nested);
        }
    }

    fn qualify_field(&self, scope: &str, field: &mut FieldDescriptorProto) {
        self.qualify_name(scope, &mut field.type_name);
        self.qualify_name(scope, &mut field.extendee);
    }

    fn qualify_name(&self, scope: &str, name: &mut Option<String>) {
        let Some(name) = name.as_mut().filter(|name| !name.starts_with('.')) else {
            return;
        };
        let mut scope = Some(scope);
        while let Some(inner) = scope {
            let full = join(inner, name);
            if self.0.contains(&full) {
                *name = format!(".{full}");
                return;
            }
            scope = match inner.rsplit_once('.') {
                Some((outer, _)) => Some(outer),
                None if inner.is_empty() => None,
                None => Some(""),
            };
        }
    }
}

fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() {
        name.to_owned()
    } else {
        format!("{scope}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, source: &str) -> FileDescriptorProto {
        protox_parse::parse(name, &format!("syntax = \"proto3\"; {source}")).unwrap()
    }

    #[test]
    fn a_partly_qualified_name_skips_inner_scopes_that_hold_only_its_first_part() {
        let mut files = [
            parse(
                "near.proto",
                "package a.b; message User { common.Cache cache = 1; }",
            ),
            parse("decoy.proto", "package a.b.common; message Other {}"),
            parse("target.proto", "package a.common; message Cache {}"),
        ];
        qualify(files.iter_mut());
        assert_eq!(
            files[0].message_type[0].field[0].type_name(),
            ".a.common.Cache"
        );
    }

    #[test]
    fn well_known_types_and_names_without_a_package_are_found_at_the_root() {
        let source = "message Plain { google.protobuf.Any any = 1; Plain inner = 2; }";
        let mut files = [parse("plain.proto", source)];
        qualify(files.iter_mut());
        let fields = &files[0].message_type[0].field;
        assert_eq!(fields[0].type_name(), ".google.protobuf.Any");
        assert_eq!(fields[1].type_name(), ".Plain");
    }
}

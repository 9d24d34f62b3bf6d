-- What differs between two revisions is found by what began and what ended between them.

CREATE INDEX resource_began ON resource (fleet, from_revision);
CREATE INDEX resource_ended ON resource (fleet, to_revision);

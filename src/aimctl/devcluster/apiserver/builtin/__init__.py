"""The built-in kinds, CustomResourceDefinitions, namespaces and Events."""

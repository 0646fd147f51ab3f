// The values that graphql-js hands to resolvers (getVariableValues and getArgumentValues), for every field of an operation,
// whatever data there are.
import { Kind, buildASTSchema, executeSync, isEnumType, isListType, isScalarType, parse, visit } from 'graphql';

// The schema with nullable fields: one that can't be resolved takes no other along.
export function withNullableFields(sdl) {
  const nullable = (type) => {
    if (type.kind === Kind.NON_NULL_TYPE) {
      return nullable(type.type);
    }
    return type.kind === Kind.LIST_TYPE ? { ...type, type: nullable(type.type) } : type;
  };
  return buildASTSchema(visit(parse(sdl), { FieldDefinition: (field) => ({ ...field, type: nullable(field.type) }) }));
}

// Of the types of nodes, the one whose fields have arguments.
const NODE_TYPE = 'Customer';

// Each field's name and arguments, by its path of response keys. A field without valid arguments is absent. Returns the
// errors' messages beside them.
export function argumentsOf(schema, request) {
  const fields = {};
  const fieldResolver = (_source, given, _context, { fieldName, path, returnType }) => {
    fields[keys(path).join('.')] = { field: fieldName, arguments: given };
    return sample(returnType);
  };
  const { errors = [] } = executeSync({ ...request, schema, fieldResolver, typeResolver: () => NODE_TYPE });
  return { fields, messages: errors.map(({ message }) => message) };
}

function keys(path) {
  const before = path.prev === undefined ? [] : keys(path.prev);
  return typeof path.key === 'string' ? [...before, path.key] : before;
}

const SCALARS = { Boolean: true, Float: 1, Int: 1 };

// A value of a type, so that every field below is asked for.
function sample(type) {
  if (isListType(type)) {
    return [sample(type.ofType)];
  }
  if (isEnumType(type)) {
    return type.getValues()[0].value;
  }
  return isScalarType(type) ? (SCALARS[type.name] ?? 'text') : {};
}

// The value with the keys of all its objects sorted.
export function sorted(value) {
  if (Array.isArray(value)) {
    return value.map(sorted);
  }
  if (typeof value !== 'object' || value === null) {
    return value;
  }
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key])]),
  );
}

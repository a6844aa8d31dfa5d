# As much of nixpkgs' `lib` as nix/ uses, for machines that have no nixpkgs: options are declared, definitions of other
# names or types are refused, mkIf, mkMerge and priorities are honoured. Tests prefer the true one where there is one.
let
  inherit (builtins)
    all
    attrNames
    concatLists
    concatMap
    concatStringsSep
    elem
    elemAt
    filter
    foldl'
    genList
    getAttr
    hasAttr
    head
    isAttrs
    isBool
    isFunction
    isInt
    isList
    isString
    length
    listToAttrs
    map
    mapAttrs
    match
    replaceStrings
    split
    stringLength
    substring
    toJSON
    toString
    typeOf
    ;

  isType = name: value: isAttrs value && (value._type or null) == name;
  show = path: concatStringsSep "." path;
  unique = foldl' (seen: x: if elem x seen then seen else seen ++ [ x ]) [ ];

  # --- definitions ---------------------------------------------------------------------------------------------
  mkIf = condition: content: {
    _type = "if";
    inherit condition content;
  };
  mkMerge = contents: {
    _type = "merge";
    inherit contents;
  };
  mkOverride = priority: content: {
    _type = "override";
    inherit priority content;
  };

  # A set of definitions, with what stands around it moved to each of them: names do not depend on conditions.
  pushDown =
    value:
    if isType "if" value then
      map (mapAttrs (_: mkIf value.condition)) (pushDown value.content)
    else if isType "merge" value then
      concatMap pushDown value.contents
    else if isType "override" value then
      map (mapAttrs (_: mkOverride value.priority)) (pushDown value.content)
    else
      [ value ];

  discharge =
    priority: value:
    if isType "if" value then
      (if value.condition then discharge priority value.content else [ ])
    else if isType "merge" value then
      concatMap (discharge priority) value.contents
    else if isType "override" value then
      discharge value.priority value.content
    else
      [ { inherit priority value; } ];

  strongest =
    defs:
    let
      found = concatMap (discharge 100) defs;
      best = foldl' (least: d: if d.priority < least then d.priority else least) 10000 found;
    in
    map (d: d.value) (filter (d: d.priority == best) found);

  # --- types ---------------------------------------------------------------------------------------------------
  scalar = name: check: {
    inherit name;
    merge =
      path: values:
      let
        value = head values;
      in
      if !(all check values) then
        throw "A definition for option `${show path}' is not of type `${name}'"
      else if all (other: other == value) values then
        value
      else
        throw "The option `${show path}' has conflicting definitions";
  };

  mergeAny =
    path: values:
    if all isAttrs values && !(all (v: v ? outPath || v ? type) values) then
      listToAttrs (
        map (name: {
          inherit name;
          value = mergeAny (path ++ [ name ]) (
            strongest (map (getAttr name) (filter (hasAttr name) (concatMap pushDown values)))
          );
        }) (unique (concatMap attrNames (concatMap pushDown values)))
      )
    else if all isList values then
      concatLists values
    else
      (scalar "anything" (_: true)).merge path values;

  types = rec {
    str = scalar "string" isString;
    lines = {
      name = "strings";
      merge =
        path: values:
        if all isString values then
          concatStringsSep "\n" values
        else
          throw "A definition for option `${show path}' is not of type `strings'";
    };
    bool = scalar "boolean" isBool;
    int = scalar "signed integer" isInt;
    port = scalar "16 bit unsigned integer; between 0 and 65535 (both inclusive)" (
      v: isInt v && v >= 0 && v <= 65535
    );
    ints.positive = scalar "positive integer, meaning >0" (v: isInt v && v > 0);
    path = scalar "path" (v: typeOf v == "path" || (isString v && substring 0 1 v == "/"));
    package = scalar "package" (v: isAttrs v || isString v);
    anything = {
      name = "anything";
      merge = mergeAny;
    };
    enum = values: scalar "one of ${toJSON values}" (v: elem v values);
    nullOr = type: {
      name = "null or ${type.name}";
      merge =
        path: values:
        if all (v: v == null) values then null else type.merge path (filter (v: v != null) values);
    };
    either = first: second: {
      name = "${first.name} or ${second.name}";
      merge =
        path: values:
        if (builtins.tryEval (builtins.deepSeq (first.merge path values) true)).success then
          first.merge path values
        else
          second.merge path values;
    };
    listOf = type: {
      name = "list of ${type.name}";
      merge =
        path: values:
        if all isList values then
          map (value: type.merge (path ++ [ "*" ]) (strongest [ value ])) (concatLists values)
        else
          throw "A definition for option `${show path}' is not of type `list of ${type.name}'";
    };
    attrsOf = type: {
      name = "attribute set of ${type.name}";
      merge =
        path: values:
        if !(all isAttrs values) then
          throw "A definition for option `${show path}' is not of type `attribute set of ${type.name}'"
        else
          let
            sets = concatMap pushDown values;
          in
          listToAttrs (
            concatMap (
              name:
              let
                found = strongest (map (getAttr name) (filter (hasAttr name) sets));
              in
              if found == [ ] then
                [ ]
              else
                [
                  {
                    inherit name;
                    value = type.merge (path ++ [ name ]) found;
                  }
                ]
            ) (unique (concatMap attrNames sets))
          );
    };
    submodule = module: {
      name = "submodule";
      merge =
        path: values:
        (evalModules {
          modules = [ module ] ++ map (config: { inherit config; }) values;
          prefix = path;
        }).config;
    };
  };

  # --- modules -------------------------------------------------------------------------------------------------
  evalModules =
    {
      modules,
      specialArgs ? { },
      prefix ? [ ],
    }:
    let
      arguments = {
        inherit lib;
        config = result;
        options = declared;
      }
      // specialArgs;
      collect =
        module:
        let
          body =
            if isFunction module then
              module arguments
            else if isAttrs module then
              module
            else
              import module arguments;
          plain = body ? config || body ? options;
        in
        concatMap collect (body.imports or [ ])
        ++ [
          {
            options = body.options or { };
            config =
              body.config or (
                if plain then
                  { }
                else
                  removeAttrs body [
                    "imports"
                    "_module"
                  ]
              );
          }
        ];
      found = concatMap collect modules;
      declared = foldl' mergeOptions { } (map (m: m.options) found);
      result = evaluate prefix declared (concatMap (m: pushDown m.config) found);
    in
    {
      config = result;
      options = declared;
    };

  mergeOptions =
    left: right:
    left
    // mapAttrs (
      name: value:
      if left ? ${name} && !(isType "option" value) && !(isType "option" left.${name}) then
        mergeOptions left.${name} value
      else
        value
    ) right;

  evaluate =
    path: declared: definitions:
    let
      unknown = filter (name: !(declared ? ${name})) (unique (concatMap attrNames definitions));
      one =
        name: option:
        let
          here = path ++ [ name ];
          defs = map (getAttr name) (filter (hasAttr name) definitions);
          values = strongest defs;
        in
        if !(isType "option" option) then
          evaluate here option (concatMap pushDown defs)
        else if values != [ ] then
          option.type.merge here values
        else if option ? default then
          option.default
        else if option.type.name == "submodule" then
          option.type.merge here [ ]
        else
          throw "The option `${show here}' was accessed but has no value defined";
    in
    if unknown != [ ] then
      throw "The option `${show (path ++ [ (head unknown) ])}' does not exist"
    else
      mapAttrs one declared;

  removeAttrs = builtins.removeAttrs;

  lib = rec {
    inherit
      types
      mkIf
      mkMerge
      evalModules
      mapAttrs
      listToAttrs
      genList
      ;
    mkOption = option: option // { _type = "option"; };
    mkEnableOption =
      what:
      mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = "Whether to enable ${what}.";
      };
    mkForce = mkOverride 50;
    mkDefault = mkOverride 1000;
    mkBefore = content: content;
    literalExpression = text: text;

    isOption = isType "option";
    nameValuePair = name: value: { inherit name value; };
    mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
    mapAttrs' = f: set: listToAttrs (mapAttrsToList f set);
    filterAttrs =
      keep: set:
      listToAttrs (
        concatMap (name: if keep name set.${name} then [ (nameValuePair name set.${name}) ] else [ ]) (
          attrNames set
        )
      );
    genAttrs = names: f: listToAttrs (map (name: nameValuePair name (f name)) names);
    imap0 = f: list: genList (i: f i (elemAt list i)) (length list);
    optional = condition: value: if condition then [ value ] else [ ];
    optionals = condition: values: if condition then values else [ ];
    lists.findFirstIndex =
      keep: default: list:
      let
        found = filter (i: keep (elemAt list i)) (genList (i: i) (length list));
      in
      if found == [ ] then default else head found;
    hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
    hasSuffix =
      suffix: text:
      let
        at = stringLength text - stringLength suffix;
      in
      at >= 0 && substring at (stringLength suffix) text == suffix;
    removePrefix =
      prefix: text:
      if hasPrefix prefix text then substring (stringLength prefix) (stringLength text) text else text;
    splitString = separator: text: filter isString (split (escape separator) text);
    escapeShellArg =
      text:
      if match "[[:alnum:],._+:@%/-]+" (toString text) != null then
        toString text
      else
        "'${replaceStrings [ "'" ] [ "'\\''" ] (toString text)}'";
    boolToString = value: if value then "true" else "false";
    concatMapStringsSep =
      separator: f: list:
      concatStringsSep separator (map f list);
  };
  escape = replaceStrings [ "." "/" ] [ "[.]" "/" ];
in
lib

-- SPDX-License-Identifier: MIT
-- What the workers run for one group of a reduce's items. It knows nothing but f and combine, so that it can travel.

-- group: { n =, items =, packed = whether each item is a list of arguments }. Gives f of all its items, combined.
return function(f, combine)
  return function(group)
    local items, acc = group.items, nil
    for i = 1, group.n do
      local value
      if group.packed then
        value = f(table.unpack(items[i], 1, items[i].n))
      else
        value = f(items[i])
      end
      if i == 1 then
        acc = value
      else
        acc = combine(acc, value)
      end
    end
    return acc
  end
end

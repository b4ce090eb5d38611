"""Functions of functions: derivatives of any order, of arguments nested as you like."""

from .call import depends_on_others as depends_on_others
from .call import fresh_tensor as fresh_tensor
from .call import pulled_back as pulled_back
from .nests import mapped as mapped
from .samples import per_sample_grad as per_sample_grad
from .samples import vmap as vmap
from .transforms import grad as grad
from .transforms import hessian as hessian
from .transforms import jacobian as jacobian
from .transforms import value_and_grad as value_and_grad
